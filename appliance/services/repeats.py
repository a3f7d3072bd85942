"""Requests that may be sent twice: done once, answered the same each time (`Idempotency-Key`)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from appliance.errors import InvalidRequest
from appliance.services.clock import DAY, now_ms
from appliance.services.vault import Vault
from appliance.store import idempotency
from appliance.store.database import Connection
from appliance.store.idempotency import StoredAnswer

T = TypeVar("T")

ANSWERS_STAY_MS = DAY

_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks, under which key of their own choice, for what; `content` may hold secrets."""

    caller: str
    key: str
    content: bytes

    def __post_init__(self) -> None:
        """Check the key.

        Raises:
            InvalidRequest: it is empty, too long, or not printable ASCII.
        """
        if not self.key or len(self.key) > _LONGEST_KEY:
            raise _invalid(f"an Idempotency-Key has 1 to {_LONGEST_KEY} characters")
        if not (self.key.isascii() and self.key.isprintable()):
            raise _invalid("an Idempotency-Key is printable ASCII")


class Repeats:
    """Remembers answers for a day, in the transaction that makes them true."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def once(self, db: Connection, request: Request | None, do: Callable[[], T], answer: Any) -> T:
        """Return what `do` returns, or what it returned to the same request before.

        Called within a unit of work: of two at the same time, the second finds the first.

        Args:
            request: None where the sender promises nothing; then it is done.
            answer: the type that `do` returns, as msgspec decodes it.

        Raises:
            InvalidRequest: the caller used the key for another request.
            whatever `do` raises: nothing is remembered then, so it can be tried again.
        """
        if request is None:
            return do()
        now = now_ms()
        fingerprint = self._vault.fingerprint("request", request.content)
        stored = idempotency.find(db, request.caller, request.key, since=now - ANSWERS_STAY_MS)
        if stored is not None:
            if not stored.request:
                raise _invalid(
                    "this Idempotency-Key was used before the key of the vault was changed",
                    why="whether it stood for this request is not known any more",
                    fix="look whether the request was done; if not, send it with a new key",
                )
            if not hmac.compare_digest(stored.request, fingerprint):
                raise _invalid(
                    "this Idempotency-Key was sent with another request",
                    why="a key stands for one request, which may be repeated for a day",
                    fix="send a new key with a new request",
                )
            found: T = msgspec.json.decode(stored.answer, type=answer)
            return found
        done = do()
        text = msgspec.json.encode(done).decode()
        kept = StoredAnswer(request=fingerprint, answer=text)
        idempotency.put(db, request.caller, request.key, kept, now)
        return done


def _invalid(problem: str, *, why: str = "", fix: str = "") -> InvalidRequest:
    return InvalidRequest(
        problem, code="request.idempotency_key", pointer="Idempotency-Key", why=why, fix=fix
    )
