"""Receivers of events: how each of them does, and its queue, which others never fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.mdm.event import Event
from appliance.store import deliveries, rooms
from appliance.store.database import Connection, from_ms
from appliance.store.deliveries import Failure
from appliance.store.rooms import Room

_SOON_MS = 10 * 60_000
_COUNT = """
UPDATE webhooks
   SET waiting = waiting + (disabled_at IS NULL),
       waiting_bytes = waiting_bytes + CASE WHEN disabled_at IS NULL THEN :bytes ELSE 0 END,
       dropped = dropped + (disabled_at IS NOT NULL)
 WHERE id = :id
RETURNING disabled_at, waiting, waiting_bytes
"""

_SELECT = """
SELECT id, waiting, waiting_bytes, delivered, retried, failed, dropped, failures, problem,
       failing_since, retry_at, delivered_at, disabled_at
  FROM webhooks
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookState:
    """How a receiver does; the counts only grow, over restarts too."""

    id: str
    waiting: int
    waiting_bytes: int
    delivered: int
    retried: int
    failed: int
    dropped: int
    failures: int  # of its own, since it last took something
    failing_since: datetime | None  # and has taken nothing
    retry_at: datetime | None
    problem: str | None
    delivered_at: datetime | None
    disabled_at: datetime | None

    @property
    def state(self) -> str:
        """`ok`, `failing` or `disabled`."""
        if self.disabled_at is not None:
            return "disabled"
        return "ok" if self.failing_since is None else "failing"


def keep_only(db: Connection, ids: Sequence[str]) -> None:
    """Know these receivers from now on, and forget all others with what waits for them."""
    known = [id_ for (id_,) in db.execute("SELECT id FROM webhooks")]
    db.executemany("DELETE FROM webhooks WHERE id = ?", [(i,) for i in known if i not in ids])
    db.executemany(
        "INSERT INTO webhooks (id) VALUES (?) ON CONFLICT DO NOTHING", [(i,) for i in ids]
    )


def add_receiver(db: Connection, id_: str) -> None:
    """Know this receiver, too."""
    db.execute("INSERT INTO webhooks (id) VALUES (?)", (id_,))


def remove(db: Connection, id_: str) -> None:
    """Forget this receiver, with what waits for it."""
    db.execute("DELETE FROM webhooks WHERE id = ?", (id_,))


def known(db: Connection) -> set[str]:
    """Return the ids of all receivers."""
    return {id_ for (id_,) in db.execute("SELECT id FROM webhooks")}


def add(db: Connection, ids: Iterable[str], event: Event, now: int, *, room: Room) -> None:
    """Queue the event for each receiver; without room, those give way that have the most.

    A receiver that is disabled gets nothing; what it misses counts as dropped.
    """
    for id_ in ids:
        counted = db.execute(_COUNT, {"id": id_, "bytes": len(event.body)}).fetchone()
        if counted is None:
            continue
        disabled_at, waiting, waiting_bytes = counted
        if disabled_at is not None:
            continue
        deliveries.add(db, id_, event, now)
        if waiting > room.events or waiting_bytes > room.bytes:
            dropped, size = rooms.make(
                db, id_, room, waiting=waiting, waiting_bytes=waiting_bytes, now=now
            )
            _take(db, id_, size, events=dropped)
            db.execute("UPDATE webhooks SET dropped = dropped + ? WHERE id = ?", (dropped, id_))


def states(db: Connection) -> list[WebhookState]:
    """Return all receivers."""
    return [_state(row) for row in db.execute(_SELECT)]


def state(db: Connection, id_: str) -> WebhookState | None:
    """Return one receiver, None if it is not known."""
    row = db.execute(f"{_SELECT} WHERE id = ?", (id_,)).fetchone()
    return None if row is None else _state(row)


def took(db: Connection, id_: str, delivery: int, *, answer: int | None, now: int) -> None:
    """The receiver took the event: it is well, and nothing is put off for long any more."""
    size = deliveries.delivered(db, delivery, answer=answer, now=now)
    if size is not None:
        _take(db, id_, size)
    db.execute("UPDATE webhooks SET delivered = delivered + 1 WHERE id = ?", (id_,))
    recover(db, id_, now)


def recover(db: Connection, id_: str, now: int) -> None:
    """The receiver takes events: it is sent them again, and soon what was put off meanwhile."""
    deliveries.bring_forward(db, id_, latest=now + _SOON_MS)
    db.execute(
        """
        UPDATE webhooks
           SET failures = 0, failing_since = NULL, retry_at = NULL, problem = NULL,
               disabled_at = NULL, delivered_at = :now
         WHERE id = :id
        """,
        {"id": id_, "now": now},
    )


def enable(db: Connection, id_: str, now: int) -> None:
    """Try the receiver again, now, with all that waits for it."""
    deliveries.bring_forward(db, id_, latest=now)
    db.execute(
        """
        UPDATE webhooks
           SET failures = 0, failing_since = NULL, retry_at = NULL, disabled_at = NULL
         WHERE id = ?
        """,
        (id_,),
    )


def disable(db: Connection, id_: str, now: int, *, problem: str) -> None:
    """Send the receiver nothing more, and queue nothing for it."""
    db.execute("UPDATE webhooks SET disabled_at = ?, problem = ? WHERE id = ?", (now, problem, id_))


def failing_anew(db: Connection, id_: str, now: int) -> None:
    """The receiver fails since now: before that, nobody tried."""
    db.execute("UPDATE webhooks SET failing_since = ? WHERE id = ?", (now, id_))


def fell_ill(db: Connection, id_: str, *, retry_at: int) -> None:
    """The receiver is not there or not well: nothing is sent before `retry_at`."""
    db.execute(
        "UPDATE webhooks SET failures = failures + 1, retry_at = ? WHERE id = ?", (retry_at, id_)
    )


def put_off(db: Connection, id_: str, delivery: int, failure: Failure, *, due_at: int) -> None:
    """An attempt failed; the event is tried again at `due_at`, and its device's others wait."""
    deliveries.put_off(db, delivery, failure, due_at=due_at)
    db.execute("UPDATE webhooks SET retried = retried + 1 WHERE id = ?", (id_,))
    _fails(db, id_, failure)


def gave_up(db: Connection, id_: str, delivery: int, failure: Failure) -> None:
    """The last attempt failed: the event stays in the log, to be replayed by hand."""
    size = deliveries.failed(db, delivery, failure)
    if size is not None:
        _take(db, id_, size)
        db.execute("UPDATE webhooks SET failed = failed + 1 WHERE id = ?", (id_,))
    _fails(db, id_, failure)


def replay(db: Connection, id_: str, which: Sequence[int], now: int, *, room: Room) -> int:
    """Queue events of the log that are over anew, at the end; returns how many."""
    events = deliveries.take_finished(db, id_, which)
    for event in events:
        add(db, (id_,), event, now, room=room)
    return len(events)


def _fails(db: Connection, id_: str, failure: Failure) -> None:
    db.execute(
        """
        UPDATE webhooks
           SET failing_since = coalesce(failing_since, :at), problem = :problem
         WHERE id = :id
        """,
        {"id": id_, "at": failure.at, "problem": failure.problem},
    )


def _take(db: Connection, id_: str, size: int, *, events: int = 1) -> None:
    db.execute(
        """
        UPDATE webhooks
           SET waiting = waiting - :events, waiting_bytes = waiting_bytes - :size
         WHERE id = :id
        """,
        {"id": id_, "events": events, "size": size},
    )


def _state(row: tuple[Any, ...]) -> WebhookState:
    return WebhookState(
        id=row[0], waiting=row[1], waiting_bytes=row[2], delivered=row[3], retried=row[4],
        failed=row[5], dropped=row[6], failures=row[7], problem=row[8],
        failing_since=from_ms(row[9]), retry_at=from_ms(row[10]),
        delivered_at=from_ms(row[11]), disabled_at=from_ms(row[12]),
    )  # fmt: skip
