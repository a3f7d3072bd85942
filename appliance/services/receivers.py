"""Receivers of webhooks: of the configuration, or added by command and sealed in the store."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from appliance.config.webhook import WebhookConfig, is_receiver
from appliance.errors import ConfigError, InvalidRequest
from appliance.services.clock import DAY
from appliance.services.vault import Vault
from appliance.store import receivers
from appliance.store.database import Connection

FORMER_KEY_STAYS_MS = DAY

_SHORTEST_KEY = 16
_NEW_KEY_BYTES = 32
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where events go; what stands for it elsewhere is `id`."""

    id: str
    url: str = field(repr=False)
    key: bytes | None = field(repr=False)  # signs; None: unsigned
    former_key: bytes | None = field(repr=False, default=None)  # signs as well, until then
    former_until: int = 0
    is_added: bool = False  # by command

    @property
    def shown_url(self) -> str:
        """The address without user, password and query."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"

    def keys(self, now: int) -> list[bytes]:
        """Return what signs at `now`, the newest first."""
        found = [] if self.key is None else [self.key]
        if self.former_key is not None and now < self.former_until:
            found.append(self.former_key)
        return found

    def with_key(self, key: bytes, now: int) -> Receiver:
        """Return it with a new key; what it had goes on signing for a day."""
        return replace(self, key=key, former_key=self.key, former_until=now + FORMER_KEY_STAYS_MS)


def configured_receivers(config: WebhookConfig) -> list[Receiver]:
    """Return the receivers that the configuration names.

    Raises:
        ConfigError: the file with the secret cannot be used.
    """
    key = _configured_key(config.secret_file)
    return [Receiver(id=_id(url), url=url, key=key) for url in config.urls]


def added_receiver(url: str, key: bytes) -> Receiver:
    """Return a receiver at an address that somebody gives.

    Raises:
        InvalidRequest: nothing can be sent to it. The text does not repeat it, for it may hold a
            secret.
    """
    if not is_receiver(url):
        raise InvalidRequest(
            "this is no address of a receiver",
            pointer="/url",
            why="events are posted to http and https alone",
            fix="such as https://host/path, without a fragment, other letters escaped",
        )
    return Receiver(id=_id(url), url=url, key=key, is_added=True)


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes it: `whsec_` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(os.urandom(_NEW_KEY_BYTES)).decode("ascii")


def given_key(secret: str) -> bytes:
    """Return what signs, of a secret that somebody gives.

    Raises:
        InvalidRequest: it cannot be used.
    """
    try:
        return _signing_key(secret)
    except ValueError as error:
        raise InvalidRequest(
            f"the secret cannot be used: {error}",
            pointer="/secret",
            fix="leave it out, and one is made",
        ) from error


def _signing_key(secret: str) -> bytes:
    """Return what signs: the text itself, or what stands behind `whsec_` in base64.

    Raises:
        ValueError: it is too short, or no base64.
    """
    encoded = secret.removeprefix(_PREFIX)
    key = secret.encode() if encoded == secret else base64.b64decode(encoded, validate=True)
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"it must hold at least {_SHORTEST_KEY} bytes")
    return key


def tls_of(config: WebhookConfig) -> ssl.SSLContext:
    """Return what vouches for receivers.

    Raises:
        ConfigError: the file with the trust anchor cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=config.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"webhook.ca_file cannot be used: {error}") from error


def _id(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _configured_key(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return _signing_key(Path(path).read_text("utf-8").strip())
    except (OSError, ValueError) as error:
        # The text of an OSError has the "path": by mistake, that may be the secret itself.
        problem = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"webhook.secret_file cannot be used: {problem}", fix="`openssl rand -hex 32` makes one"
        ) from error


# Made while there is one thread: two that let msgspec learn a type at the same time crash it.
_DECODER = msgspec.json.Decoder(Receiver)


class AddedReceivers:
    """Seals the receivers that were added by command: an address may be as secret as its key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def load(self, db: Connection) -> list[Receiver]:
        """Return all of them."""
        return [
            _DECODER.decode(self._vault.open("webhook", id_, sealed))
            for id_, sealed in receivers.all_sealed(db)
        ]

    def put(self, db: Connection, receiver: Receiver, now: int) -> None:
        """Store one, or what has changed of it."""
        sealed = self._vault.seal("webhook", receiver.id, msgspec.json.encode(receiver))
        receivers.put(db, receiver.id, sealed, now)
