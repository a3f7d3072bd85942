"""Webhooks: what a device says is kept for each receiver, in the transaction that acts on it."""

from __future__ import annotations

import base64
import hashlib
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from appliance.config.webhook import WebhookConfig
from appliance.errors import ConfigError, NotFound
from appliance.mdm.event import Said, event_of
from appliance.services.clock import now_ms
from appliance.services.deliveries import DeliveryService, Receiver, Sent
from appliance.services.paging import entries_before
from appliance.store import deliveries, events, webhooks
from appliance.store.database import Connection, Database
from appliance.store.deliveries import Delivery
from appliance.store.rooms import Room
from appliance.store.webhooks import WebhookState

TEST_TOPIC = "appliance.Test"

_ROOM = Room(events=10_000, bytes=64 << 20)  # for each receiver
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver and how it does; `url` is without user, password and query."""

    url: str
    signed: bool
    state: WebhookState


class WebhookService:
    """Tells receivers of what devices say. Without a receiver it does nothing."""

    def __init__(self, database: Database, config: WebhookConfig) -> None:
        """Read the secret and the trust anchor.

        Raises:
            ConfigError: one of the files cannot be used.
        """
        self.enabled = bool(config.urls)
        self._database = database
        self._told = False  # something, since the last commit
        self._senders: dict[str, DeliveryService] = {}
        if not self.enabled:
            return
        key = _key(config.secret_file)
        tls = _tls(config.ca_file)
        for url in config.urls:
            receiver = Receiver(id=_id(url), url=url, key=key)
            self._senders[receiver.id] = DeliveryService(database, receiver, config, tls)
        self._ids = tuple(self._senders)
        database.after_commit.append(self._committed)

    @property
    def senders(self) -> Sequence[DeliveryService]:
        """What delivers, one for each receiver."""
        return tuple(self._senders.values())

    async def begin(self) -> None:
        """Know the configured receivers, and forget others with what waits for them."""
        ids = tuple(self._senders)
        if await self._database.read(webhooks.known) != set(ids):
            await self._database.write(partial(webhooks.keep_only, ids=ids))

    async def close(self) -> None:
        """Close all connections to receivers."""
        for sender in self.senders:
            await sender.close()

    def tell(
        self, db: Connection, said: Said, raw: bytes, now: int, *, tally: int | None = None
    ) -> None:
        """Queue, in this transaction, that a device said this; only if this is `enabled`.

        Args:
            raw: the message as it came, of a device that may say it.
            tally: how many a TokenUpdate is of its channel.
        """
        at = datetime.fromtimestamp(now / 1000, UTC)
        event = event_of(said, raw, event_id=str(uuid.uuid4()), at=at, tally=tally)
        if event is not None:
            webhooks.add(db, self._ids, event, now, room=_ROOM)
            self._told = True

    async def listing(self) -> list[Webhook]:
        """Return the receivers and how they do, in the order of the configuration."""
        if not self.enabled:
            return []
        states = {state.id: state for state in await self._database.read(webhooks.states)}
        return [
            Webhook(
                url=_shown(sender.receiver.url), signed=sender.receiver.key is not None,
                state=states[sender.receiver.id],
            )
            for sender in self.senders
            if sender.receiver.id in states
        ]  # fmt: skip

    async def log(
        self, id_: str, cursor: str | None, limit: int, status: str | None
    ) -> tuple[list[Delivery], str | None]:
        """Return a receiver's events, newest first, and the cursor of the next page.

        Raises:
            NotFound: there is no such receiver.
            InvalidRequest: a cursor that is not one of ours.
        """
        sender, before = self._sender(id_), entries_before(cursor)
        read = partial(
            deliveries.log, webhook_id=sender.receiver.id, before=before, limit=limit + 1,
            status=status,
        )  # fmt: skip
        found = await self._database.read(read)
        more = len(found) > limit
        return found[:limit], str(found[limit - 1].id) if more else None

    async def test(self, id_: str) -> Sent:
        """Send the receiver an event of its own topic, now, once; if it takes it, it is enabled.

        Raises:
            NotFound: there is no such receiver.
        """
        sender = self._sender(id_)
        event_id = str(uuid.uuid4())
        event = {"topic": TEST_TOPIC, "event_id": event_id, "created_at": datetime.now(UTC)}
        sent = await sender.send(event_id, msgspec.json.encode(event))
        if sent.is_taken:
            await self._database.write(
                lambda db: webhooks.recover(db, sender.receiver.id, now_ms())
            )
            sender.work.set()
        return sent

    async def replay(self, id_: str, which: Sequence[int] | None, *, by: str) -> int:
        """Queue events of the log anew and try the receiver again; returns how many.

        Args:
            which: their numbers; None: all that failed.

        Raises:
            NotFound: there is no such receiver.
        """
        sender, now = self._sender(id_), now_ms()
        receiver = sender.receiver.id

        def unit(db: Connection) -> int:
            webhooks.enable(db, receiver, now)
            count = webhooks.replay(db, receiver, which, now, room=_ROOM)
            events.add(db, "webhook.replayed", now, data={"id": receiver, "count": count, "by": by})
            return count

        replayed = await self._database.write(unit)
        sender.work.set()
        return replayed

    def _sender(self, id_: str) -> DeliveryService:
        if id_ not in self._senders:
            raise NotFound("webhook", id_, fix="`appliance webhook list` has them")
        return self._senders[id_]

    def _committed(self) -> None:
        # The next transaction begins after this: nothing that it tells can be missed.
        if self._told:
            self._told = False
            for sender in self._senders.values():
                sender.work.set()


def _id(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _shown(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def _key(path: str) -> bytes | None:
    """Return what signs: the file's text, or what stands behind `whsec_` in base64."""
    if not path:
        return None
    try:
        text = Path(path).read_text("utf-8").strip()
        encoded = text.removeprefix("whsec_")
        key = text.encode() if encoded == text else base64.b64decode(encoded, validate=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"webhook.secret_file cannot be used: {error}") from error
    if len(key) < _SHORTEST_SECRET:
        raise ConfigError(
            f"webhook.secret_file must hold at least {_SHORTEST_SECRET} bytes",
            fix="`openssl rand -hex 32` makes one",
        )
    return key


def _tls(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"webhook.ca_file cannot be used: {error}") from error
