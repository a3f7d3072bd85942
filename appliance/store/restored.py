"""After a restore: what may happen twice is held or marked, what opened a door once is closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.store import commands, events, payloads, renewals
from appliance.store.database import Connection
from appliance.store.holding import HELD, UNTIL_RELEASED
from appliance.store.payloads import Payload

_UNFINISHED = f"""
SELECT c.id, c.uuid, c.enrollment_id, c.request_type, {payloads.COLUMNS}, c.sealed
  FROM commands AS c
  {payloads.JOINED}
 WHERE c.finished_at IS NULL
"""

# Takes a command's UUID, channel, request type and payload.
Judge = Callable[[str, str, str, Payload], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How much of each was closed or marked."""

    held: int
    possibly_repeated: int
    links: int
    challenges: int
    sessions: int
    one_time_codes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredCommand:
    """A command that was unfinished in the backup and is unfinished still."""

    id: str
    target: str
    name: str  # the device's, its serial number, or its ID
    request_type: str
    held: bool


def close_doors(db: Connection, now: int, is_dangerous: Judge) -> Closed:
    """Bring a restored store into a state in which nothing is given or done twice unasked."""
    for uuid in renewals.forget_waiting(db):  # their challenges are void: others are made
        commands.withdraw(db, uuid, now)
    held, repeated = _mark_commands(db, now, is_dangerous)
    challenges = db.execute("DELETE FROM challenges WHERE used_at IS NULL").rowcount
    links = db.execute(
        """
        UPDATE enrollment_links SET revoked_at = :now
         WHERE revoked_at IS NULL AND used < uses AND expires_at > :now
        """,
        {"now": now},
    ).rowcount
    db.execute("UPDATE enrollments SET reenroll_until = NULL")
    return Closed(
        held=held,
        possibly_repeated=repeated,
        links=links,
        challenges=challenges,
        sessions=db.execute("DELETE FROM sessions").rowcount,
        one_time_codes=db.execute("DELETE FROM one_time_codes").rowcount,
    )


def _mark_commands(db: Connection, now: int, is_dangerous: Judge) -> tuple[int, int]:
    """Hold the dangerous ones, mark the others; return how many there are of each."""
    held: list[tuple[int, int]] = []
    repeated: list[tuple[int, int]] = []
    for row_id, uuid, target, request_type, body, shared, sealed in db.execute(_UNFINISHED):
        payload = Payload(body=body, sealed=bool(sealed), shared=shared)
        dangerous = is_dangerous(uuid, target, request_type, payload)
        (held if dangerous else repeated).append((now, row_id))
    db.executemany("UPDATE commands SET restored_at = ? WHERE id = ?", repeated)
    db.executemany(f"UPDATE commands SET restored_at = ?, {HELD} WHERE id = ?", held)
    return len(held), len(repeated)


def unfinished(db: Connection, now: int) -> list[RestoredCommand]:
    """Return what is still to be released, cancelled or answered, by device."""
    rows = db.execute(
        """
        SELECT c.uuid, c.enrollment_id, coalesce(d.name, d.serial_number, c.enrollment_id),
               c.request_type, coalesce(c.not_before, 0) = :held
          FROM commands AS c
          LEFT JOIN devices AS d ON d.enrollment_id = c.enrollment_id
         WHERE c.restored_at IS NOT NULL AND c.finished_at IS NULL
           AND (c.expires_at IS NULL OR c.expires_at > :now)
         ORDER BY c.enrollment_id, c.id
        """,
        {"held": UNTIL_RELEASED, "now": now},
    )
    return [
        RestoredCommand(
            id=uuid, target=target, name=name, request_type=request_type, held=bool(held)
        )
        for uuid, target, name, request_type, held in rows
    ]


def release(db: Connection, uuid: str, enrollment_id: str, now: int, *, by: str) -> bool:
    """Let a held command go to its device; tell whether it was held."""
    row = db.execute(
        """
        UPDATE commands SET not_before = NULL
         WHERE uuid = ? AND enrollment_id = ? AND finished_at IS NULL AND not_before = ?
        RETURNING request_type
        """,
        (uuid, enrollment_id, UNTIL_RELEASED),
    ).fetchone()
    if row is None:
        return False
    data = {"id": uuid, "request_type": row[0], "by": by}
    events.add(db, "command.released", now, enrollment_id=enrollment_id, data=data)
    return True
