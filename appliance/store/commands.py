"""Commands: one queue per channel, first in first out, one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeAlias

from appliance.mdm.command import CommandResult, Status
from appliance.store import enrollments, events, payloads
from appliance.store.database import Connection
from appliance.store.holding import UNTIL_RELEASED
from appliance.store.payloads import Payload, SharedPayload

# A refused (NotNow) command is set aside until the channel's next Idle; see Apple, "NotNow".
NEXT_COMMAND = f"""
SELECT c.id, c.uuid, {payloads.COLUMNS}, c.sealed, c.request_type,
       c.status = 'sent' AND c.connected_at IS NOT NULL
  FROM commands AS c
  {payloads.JOINED}
 WHERE c.enrollment_id = :enrollment_id
   AND c.finished_at IS NULL
   AND (c.status <> 'not_now' OR :idle)
   AND (c.expires_at IS NULL OR c.expires_at > :now)
   AND (c.not_before IS NULL OR c.not_before <= :now)
 ORDER BY c.id
 LIMIT 1
"""

_HAND_OUT = """
UPDATE commands
   SET status = 'sent', connected_at = coalesce(connected_at, ?)
 WHERE id = ?
"""

# Takes the request type, the command's UUID and an answer; returns what is stored of it,
# and whether that is sealed.
Protect: TypeAlias = Callable[[str, str, bytes], tuple[bytes, bool]]

_FINAL = {
    Status.ACKNOWLEDGED: "acknowledged",
    Status.ERROR: "error",
    Status.COMMAND_FORMAT_ERROR: "format_error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommand:
    """What is to be queued for one channel; `payload` is not looked at where it is shared."""

    uuid: str
    enrollment_id: str
    request_type: str
    payload: bytes = b""
    sealed: bool = False
    expires_at: int | None = None
    not_before: int | None = None  # held until then


class HandedOut(NamedTuple):
    """The command that a channel gets next."""

    uuid: str
    request_type: str
    payload: Payload


def enqueue(
    db: Connection,
    commands: Sequence[NewCommand],
    now: int,
    *,
    shared: SharedPayload | None = None,
) -> None:
    """Append commands to their queues.

    Args:
        shared: what all of them say.

    Raises:
        sqlite3.IntegrityError: a UUID that the channel has had already.
    """
    db.executemany(
        """
        INSERT INTO commands (uuid, enrollment_id, request_type, sealed, queued_at, expires_at,
                              not_before)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        [
            (c.uuid, c.enrollment_id, c.request_type, c.sealed, now, c.expires_at, c.not_before)
            for c in commands
        ],
    )
    if shared is None:
        payloads.add(db, [(c.uuid, c.enrollment_id, c.payload) for c in commands])
    else:
        payloads.share(db, shared, [(c.uuid, c.enrollment_id) for c in commands])
    queued = [(c.enrollment_id, c.uuid, c.request_type, "queued") for c in commands]
    events.commands_queued(db, queued, now)


def exists(db: Connection, uuid: str, enrollment_id: str) -> bool:
    """Tell whether the channel has had a command of this UUID."""
    row = db.execute(
        "SELECT 1 FROM commands WHERE uuid = ? AND enrollment_id = ?", (uuid, enrollment_id)
    ).fetchone()
    return row is not None


def _in_clear(_request_type: str, _uuid: str, answer: bytes) -> tuple[bytes, bool]:
    return answer, False


def report(
    db: Connection,
    result: CommandResult,
    answer: bytes,
    now: int,
    *,
    protect: Protect = _in_clear,
) -> str | None:
    """Record what the device says of a command of its own channel.

    Returns the request type when the report finishes the command; None for Idle, NotNow, an
    unknown UUID, and a command that is final already: repeating a report changes nothing. One
    that expired while the device had it is not: the device has carried it out.
    """
    command_uuid = result.command_uuid
    if command_uuid is None and result.status is Status.COMMAND_FORMAT_ERROR:
        # The command was too broken to name; unfinished, the device would get it for ever.
        command_uuid = last_handed_out(db, result.enrollment.id)
    if command_uuid is None:
        return None
    row = db.execute(
        """
        SELECT id, request_type, sealed
          FROM commands
         WHERE uuid = ? AND enrollment_id = ?
           AND (finished_at IS NULL OR (status = 'expired' AND connected_at IS NOT NULL))
        """,
        (command_uuid, result.enrollment.id),
    ).fetchone()
    if row is None:
        return None
    command_id, request_type, sealed = row
    if result.status is Status.NOT_NOW:
        _set_aside(db, command_id)
        # A sign of life, which `was_told_to_erase` must see.
        enrollments.note_heard(db, result.enrollment.id, now)
        return None
    _finish(db, command_id, result, now)
    if sealed:
        payloads.forget(db, [command_id])
    db.execute(
        "INSERT OR REPLACE INTO command_results (command_id, body, sealed) VALUES (?, ?, ?)",
        (command_id, *protect(request_type, command_uuid, answer)),
    )
    change = (result.enrollment.id, command_uuid, request_type, _FINAL[result.status])
    events.command_finished(db, change, now)
    return str(request_type)


def _set_aside(db: Connection, command_id: int) -> None:
    db.execute(
        "UPDATE commands SET status = 'not_now' WHERE id = ? AND finished_at IS NULL", (command_id,)
    )


def _finish(db: Connection, command_id: int, result: CommandResult, now: int) -> None:
    chain = [asdict(item) for item in result.error_chain]
    db.execute(
        """
        UPDATE commands
           SET status = ?, finished_at = ?, error_chain = ?,
               connected_at = coalesce(connected_at, ?)
         WHERE id = ?
        """,
        (_FINAL[result.status], now, json.dumps(chain) if chain else None, now, command_id),
    )


def next_command(db: Connection, enrollment_id: str, *, idle: bool, now: int) -> HandedOut | None:
    """Hand out the channel's next command, None for an empty queue."""
    values = {"enrollment_id": enrollment_id, "idle": idle, "now": now}
    row = db.execute(NEXT_COMMAND, values).fetchone()
    if row is None:
        return None
    if not row[6]:  # again: nothing changes
        db.execute(_HAND_OUT, (now, row[0]))
    payload = Payload(body=row[2], sealed=bool(row[4]), shared=row[3])
    return HandedOut(uuid=row[1], request_type=row[5], payload=payload)


def last_handed_out(db: Connection, enrollment_id: str) -> str | None:
    """The UUID of the command that the channel has not answered yet."""
    row = db.execute(
        """
        SELECT uuid
          FROM commands
         WHERE enrollment_id = ? AND finished_at IS NULL AND status = 'sent'
         ORDER BY id
         LIMIT 1
        """,
        (enrollment_id,),
    ).fetchone()
    return None if row is None else str(row[0])


def was_told_to_erase(db: Connection, enrollment_id: str, *, since: int) -> bool:
    """Tell whether the device got EraseDevice after `since` and has not refused it.

    One that expired, or that a restore put back, counts as well while the device is silent: when
    it has been erased it can answer no more.
    """
    row = db.execute(
        """
        SELECT 1
          FROM commands AS c
          JOIN enrollments AS e ON e.id = c.enrollment_id
         WHERE c.enrollment_id = ? AND c.request_type = 'EraseDevice' AND c.connected_at > ?
           AND (c.status IN ('sent', 'acknowledged')
                OR (e.last_seen_at <= c.connected_at
                    AND (c.status = 'expired'
                         OR (c.status IN ('queued', 'cancelled') AND c.restored_at IS NOT NULL))))
        """,
        (enrollment_id, since),
    ).fetchone()
    return row is not None


def cancel(db: Connection, uuid: str, now: int) -> int:
    """Cancel a command wherever it is still queued or set aside; return how many were."""
    where = "uuid = :uuid AND finished_at IS NULL AND status <> 'sent'"
    return _close(db, "cancelled", where, {"uuid": uuid, "now": now})


def clear(db: Connection, enrollment_id: str, now: int) -> None:
    """Cancel all that waits on one channel: its enrollment begins anew or has ended."""
    where = "enrollment_id = :id AND finished_at IS NULL"
    _close(db, "cancelled", where, {"id": enrollment_id, "now": now})


def withdraw(db: Connection, uuid: str, now: int) -> None:
    """Cancel a command wherever it is unfinished, also where a device has received it."""
    _close(db, "cancelled", "uuid = :uuid AND finished_at IS NULL", {"uuid": uuid, "now": now})


def expire(db: Connection, now: int) -> int:
    """Close the commands whose time is over, as of then; return how many."""
    where = "finished_at IS NULL AND expires_at IS NOT NULL AND expires_at <= :now"
    return _close(db, "expired", where, {"now": now}, at="expires_at")


def release_by(db: Connection, *, latest: int) -> None:
    """Hold no command beyond `latest`: the clock was ahead when it was queued.

    What waits for an administrator waits for no clock.
    """
    db.execute(
        """
        UPDATE commands SET not_before = :latest
         WHERE finished_at IS NULL AND not_before > :latest AND not_before <> :until_released
        """,
        {"latest": latest, "until_released": UNTIL_RELEASED},
    )


def _close(
    db: Connection, status: str, where: str, values: Mapping[str, str | int], *, at: str = ":now"
) -> int:
    """End without an answer the commands that `where` names; return how many."""
    closed = db.execute(
        f"""
        UPDATE commands
           SET status = :status, finished_at = {at}
         WHERE {where}
        RETURNING enrollment_id, uuid, request_type, status, id, sealed
        """,
        {"status": status, **values},
    ).fetchall()
    payloads.forget(db, (row[4] for row in closed if row[5]))  # no copy of what was sealed
    events.commands_finished(db, [row[:4] for row in closed], int(values["now"]))
    return len(closed)


def backlog(db: Connection, enrollment_id: str, now: int) -> int:
    """Count the commands that the channel has not finished."""
    row = db.execute(
        """
        SELECT count(*)
          FROM commands
         WHERE enrollment_id = ? AND finished_at IS NULL
           AND (expires_at IS NULL OR expires_at > ?)
        """,
        (enrollment_id, now),
    ).fetchone()
    return int(row[0])


def total_backlog(db: Connection, now: int) -> int:
    """Count the commands of all channels that wait; each count goes by an index of its own."""
    row = db.execute(
        """
        SELECT (SELECT count(*) FROM commands WHERE finished_at IS NULL)
             - (SELECT count(*) FROM commands
                 WHERE finished_at IS NULL AND expires_at IS NOT NULL AND expires_at <= ?)
        """,
        (now,),
    ).fetchone()
    return int(row[0])


def finished(db: Connection, uuid: str, now: int) -> bool:
    """Tell whether no channel is still to answer the command of this UUID."""
    row = db.execute(
        """
        SELECT 1
          FROM commands
         WHERE uuid = ? AND finished_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
         LIMIT 1
        """,
        (uuid, now),
    ).fetchone()
    return row is None
