"""Idempotency keys: what was answered to a request that its sender may repeat."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """The answer, as JSON, and a fingerprint of its request; empty: it cannot be compared."""

    request: bytes
    answer: str


def find(db: Connection, caller: str, key: str, *, since: int) -> StoredAnswer | None:
    """Return what was answered to the caller's request with this key after `since`."""
    row = db.execute(
        """
        SELECT request, answer
          FROM idempotency_keys
         WHERE caller = ? AND key = ? AND stored_at > ?
        """,
        (caller, key, since),
    ).fetchone()
    return None if row is None else StoredAnswer(request=bytes(row[0]), answer=row[1])


def put(db: Connection, caller: str, key: str, stored: StoredAnswer, now: int) -> None:
    """Keep an answer; one that was too old to be found makes room."""
    db.execute("DELETE FROM idempotency_keys WHERE caller = ? AND key = ?", (caller, key))
    db.execute(
        """
        INSERT INTO idempotency_keys (caller, key, request, answer, stored_at)
        VALUES (?, ?, ?, ?, ?)
        """,
        (caller, key, stored.request, stored.answer, now),
    )


def forget_requests(db: Connection) -> None:
    """Make every `request` empty: the key of the fingerprints is another one from now on."""
    db.execute("UPDATE idempotency_keys SET request = x''")


def forget(db: Connection, *, before: int) -> None:
    """Forget the answers that are older."""
    db.execute("DELETE FROM idempotency_keys WHERE stored_at <= ?", (before,))
