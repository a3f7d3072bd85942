"""Deliveries: events on their way to one receiver, and the log of those that are over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from appliance.mdm.event import Event
from appliance.store.database import Connection, from_ms

# Of each device one event is due, the oldest; the next becomes due when that one is over.
_MOST_DUE_BYTES = 8 << 20  # read at once
_DUE = """
SELECT id, event_id, device_id, body, attempts
  FROM webhook_deliveries
 WHERE webhook_id = ? AND status = 'waiting' AND due_at IS NOT NULL AND due_at <= ?
 ORDER BY due_at, id
 LIMIT ?
"""
_NEXT_OF_DEVICE = """
UPDATE webhook_deliveries
   SET due_at = coalesce(due_at, :now)
 WHERE id = (SELECT min(id) FROM webhook_deliveries
              WHERE webhook_id = :webhook_id AND device_id = :device_id AND status = 'waiting')
RETURNING id
"""
_LOG = """
SELECT id, event_id, topic, device_id, status, attempts, created_at, attempted_at, due_at, answer,
       problem, length(body)
  FROM webhook_deliveries
"""
# The newest that lies beyond so many, or so many bytes, of those that are over.
_BEYOND = """
SELECT max(id)
  FROM (SELECT id, row_number() OVER newest AS number, sum(size) OVER newest AS bytes
          FROM (SELECT id, length(body) AS size
                  FROM webhook_deliveries
                 WHERE webhook_id = :webhook_id AND status <> 'waiting'
                 ORDER BY id DESC
                 LIMIT :keep + 1)
        WINDOW newest AS (ORDER BY id DESC))
 WHERE number > :keep OR bytes > :keep_bytes
"""
_NAMED = "(SELECT value FROM json_each(:which))"
_MOST_FORGOTTEN = 250  # and bytes, at once; a few milliseconds of the writer
_MOST_FORGOTTEN_BYTES = 2 << 20
_FORGET = """
DELETE FROM webhook_deliveries
 WHERE id IN (SELECT id
                FROM (SELECT id, row_number() OVER oldest AS number, sum(size) OVER oldest AS bytes
                        FROM (SELECT id, length(body) AS size
                                FROM webhook_deliveries
                               WHERE webhook_id = :webhook_id AND {where}
                               ORDER BY id
                               LIMIT :most)
                      WINDOW oldest AS (ORDER BY id))
               WHERE number = 1 OR bytes <= :most_bytes)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """An event that is to be sent now."""

    id: int
    event_id: str
    device_id: str
    body: bytes = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that failed; `answer` is the HTTP status, if there was an answer."""

    answer: int | None
    problem: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One line of a receiver's log."""

    id: int
    event_id: str
    topic: str
    device: str
    status: str
    attempts: int
    created_at: datetime | None
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    answer: int | None
    problem: str | None
    size_bytes: int


def add(db: Connection, webhook_id: str, event: Event, now: int) -> None:
    """Queue the event behind the others of its device."""
    behind = db.execute(
        """
        SELECT 1 FROM webhook_deliveries
         WHERE webhook_id = ? AND device_id = ? AND status = 'waiting'
         LIMIT 1
        """,
        (webhook_id, event.device_id),
    ).fetchone()
    db.execute(
        """
        INSERT INTO webhook_deliveries (webhook_id, event_id, topic, device_id, body, created_at,
                                        due_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (
            webhook_id, event.id, event.topic, event.device_id, event.body, now,
            None if behind else now,
        ),
    )  # fmt: skip


def drop(db: Connection, id_: int, now: int) -> tuple[int, int | None]:
    """Forget the oldest that waits of a device; returns its size, and the id of the next."""
    webhook_id, device_id, size = db.execute(
        "DELETE FROM webhook_deliveries WHERE id = ? RETURNING webhook_id, device_id, length(body)",
        (id_,),
    ).fetchone()
    return size, _let_next(db, webhook_id, device_id, now)


def due(db: Connection, webhook_id: str, now: int, *, limit: int) -> list[DueDelivery]:
    """Return what may be sent at the same time: one event of a device at most."""
    found, size = [], 0
    for id_, event_id, device_id, body, attempts in db.execute(_DUE, (webhook_id, now, limit)):
        found.append(
            DueDelivery(
                id=id_, event_id=event_id, device_id=device_id, body=body, attempts=attempts
            )
        )
        size += len(body)
        if size > _MOST_DUE_BYTES:
            break
    return found


def next_due(db: Connection, webhook_id: str) -> int | None:
    """Return when the next event is due, None if nothing waits."""
    row = db.execute(
        """
        SELECT due_at FROM webhook_deliveries
         WHERE webhook_id = ? AND status = 'waiting' AND due_at IS NOT NULL
         ORDER BY due_at
         LIMIT 1
        """,
        (webhook_id,),
    ).fetchone()
    return None if row is None else int(row[0])


def bring_forward(db: Connection, webhook_id: str, *, latest: int) -> None:
    """Let nothing wait beyond `latest`."""
    db.execute(
        """
        UPDATE webhook_deliveries SET due_at = :latest
         WHERE webhook_id = :id AND status = 'waiting' AND due_at IS NOT NULL AND due_at > :latest
        """,
        {"id": webhook_id, "latest": latest},
    )


def delivered(db: Connection, id_: int, *, answer: int | None, now: int) -> int | None:
    """It was taken; returns its size, None if it was dropped meanwhile."""
    return _finish(db, id_, "delivered", answer, None, now)


def failed(db: Connection, id_: int, failure: Failure) -> int | None:
    """It is tried no more; returns its size, None if it was dropped meanwhile."""
    return _finish(db, id_, "failed", failure.answer, failure.problem, failure.at)


def put_off(db: Connection, id_: int, failure: Failure, *, due_at: int) -> None:
    """Try it again at `due_at`."""
    db.execute(
        """
        UPDATE webhook_deliveries
           SET due_at = :due_at, attempts = attempts + 1, attempted_at = :now, answer = :answer,
               problem = :problem
         WHERE id = :id AND status = 'waiting'
        """,
        {
            "id": id_, "due_at": due_at, "answer": failure.answer, "problem": failure.problem,
            "now": failure.at,
        },
    )  # fmt: skip


def replayable(
    db: Connection, webhook_id: str, which: Sequence[int] | None
) -> list[tuple[int, int]]:
    """Return number and size of the events of the log that are over, oldest first.

    Args:
        which: of these numbers; None: all that failed.
    """
    where = "status = 'failed'" if which is None else "status <> 'waiting' AND id IN " + _NAMED
    return db.execute(
        f"""
        SELECT id, length(body)
          FROM webhook_deliveries
         WHERE webhook_id = :webhook_id AND {where}
         ORDER BY id
        """,
        {"webhook_id": webhook_id, "which": json.dumps(which)},
    ).fetchall()


def take_finished(db: Connection, webhook_id: str, which: Sequence[int]) -> list[Event]:
    """Take events out of the log that are over and have these numbers, oldest first."""
    rows = db.execute(
        f"""
        DELETE FROM webhook_deliveries
         WHERE webhook_id = :webhook_id AND status <> 'waiting' AND id IN {_NAMED}
        RETURNING id, event_id, topic, device_id, body
        """,
        {"webhook_id": webhook_id, "which": json.dumps(which)},
    ).fetchall()
    return [Event(id=row[1], topic=row[2], device_id=row[3], body=row[4]) for row in sorted(rows)]


def log(
    db: Connection, webhook_id: str, *, before: int, limit: int, status: str | None
) -> list[Delivery]:
    """Return the newest events with an id below `before`."""
    where = "webhook_id = :webhook_id AND id < :before"
    if status is not None:
        where += " AND status = :status"
    rows = db.execute(
        f"{_LOG} WHERE {where} ORDER BY id DESC LIMIT :limit",
        {"webhook_id": webhook_id, "before": before, "status": status, "limit": limit},
    )
    return [
        Delivery(
            id=row[0], event_id=row[1], topic=row[2], device=row[3], status=row[4],
            attempts=row[5], created_at=from_ms(row[6]), attempted_at=from_ms(row[7]),
            next_attempt_at=from_ms(row[8]), answer=row[9], problem=row[10], size_bytes=row[11],
        )
        for row in rows
    ]  # fmt: skip


def beyond(db: Connection, webhook_id: str, *, keep: int, keep_bytes: int) -> int:
    """Return up to which number the log holds more than the newest `keep`, or `keep_bytes`."""
    values = {"webhook_id": webhook_id, "keep": keep, "keep_bytes": keep_bytes}
    (found,) = db.execute(_BEYOND, values).fetchone()
    return int(found or 0)


def prune(db: Connection, webhook_id: str, *, until: int, before: int) -> int:
    """Forget some of what is over and has a number up to `until`, or is older than `before`.

    Returns how many; 0 when nothing is left to forget.
    """
    where = "status <> 'waiting' AND (id <= :until OR created_at < :before)"
    return _forget(db, where, {"webhook_id": webhook_id, "until": until, "before": before})


def clear(db: Connection, webhook_id: str) -> int:
    """Forget some of all there is for a receiver; returns how many, 0 when nothing is left."""
    return _forget(db, "TRUE", {"webhook_id": webhook_id})


def _forget(db: Connection, where: str, values: dict[str, str | int]) -> int:
    bounds = {"most": _MOST_FORGOTTEN, "most_bytes": _MOST_FORGOTTEN_BYTES}
    return db.execute(_FORGET.format(where=where), {**values, **bounds}).rowcount


def _let_next(db: Connection, webhook_id: str, device_id: str, now: int) -> int | None:
    values = {"webhook_id": webhook_id, "device_id": device_id, "now": now}
    row = db.execute(_NEXT_OF_DEVICE, values).fetchone()
    return None if row is None else int(row[0])


def _finish(
    db: Connection, id_: int, status: str, answer: int | None, problem: str | None, now: int
) -> int | None:
    row = db.execute(
        """
        UPDATE webhook_deliveries
           SET status = :status, due_at = NULL, attempts = attempts + 1, attempted_at = :now,
               answer = :answer, problem = :problem
         WHERE id = :id AND status = 'waiting'
        RETURNING webhook_id, device_id, length(body)
        """,
        {"id": id_, "status": status, "answer": answer, "problem": problem, "now": now},
    ).fetchone()
    if row is None:
        return None
    _let_next(db, row[0], row[1], now)
    return int(row[2])
