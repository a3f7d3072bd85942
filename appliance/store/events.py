"""What happened: one row an enrollment, a refusal, a command, an administrator's act.

The table is also the outbox of the live stream: a row is written in the transaction that makes
it true, ids ascend in the order of the commits, and nothing but housekeeping takes one away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from appliance.store.database import Connection, from_ms

# The channel, the command's UUID, its request type and its status.
CommandChange: TypeAlias = tuple[str, str, str, str]

TOO_LARGE = "device.message_too_large"
_QUEUED = "command.queued"
_FINISHED = "command.finished"
# A link's events stand in the column of the enrollment, which is indexed; see `Event.link`.
_LINK = "link:"

_INSERT = "INSERT INTO events (at, kind, enrollment_id, data) VALUES (?, ?, ?, ?)"
_SELECT = "SELECT id, at, kind, enrollment_id, data FROM events"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry; `data` never holds a secret, so `data["link"]` is a reference, not a code."""

    id: int
    at: datetime
    kind: str
    enrollment_id: str | None
    data: dict[str, Any]


def add(
    db: Connection,
    kind: str,
    now: int,
    *,
    enrollment_id: str | None = None,
    link: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Record that `kind` (`device.enrolled`, `link.created`, …) happened.

    Args:
        link: the reference of the enrollment link by which it happened.
    """
    values = dict(data or {})
    subject = enrollment_id
    if link is not None:
        values["link"] = link
        subject = enrollment_id or _LINK + link
    db.execute(_INSERT, (now, kind, subject, _encode(values).decode()))


def commands_queued(db: Connection, changes: Iterable[CommandChange], now: int) -> None:
    """Record that commands were queued."""
    _add_commands(db, _QUEUED, changes, now)


def commands_finished(db: Connection, changes: Iterable[CommandChange], now: int) -> None:
    """Record that commands were answered, cancelled, or expired."""
    _add_commands(db, _FINISHED, changes, now)


def command_finished(db: Connection, change: CommandChange, now: int) -> None:
    """Record that one command is over."""
    db.execute(_INSERT, _command_row(_FINISHED, change, now))


def happened(
    db: Connection,
    kind: str,
    *,
    since: int,
    enrollment_id: str | None = None,
    link: str | None = None,
) -> bool:
    """Tell whether `kind` happened to the enrollment, or by the link, after `since`."""
    row = db.execute(
        "SELECT 1 FROM events WHERE enrollment_id = ? AND kind = ? AND at >= ? LIMIT 1",
        (enrollment_id if link is None else _LINK + link, kind, since),
    ).fetchone()
    return row is not None


def last(db: Connection, kind: str, enrollment_id: str) -> Event | None:
    """Return when `kind` last happened to the enrollment."""
    row = db.execute(
        f"{_SELECT} WHERE enrollment_id = ? AND kind = ? ORDER BY id DESC LIMIT 1",
        (enrollment_id, kind),
    ).fetchone()
    return None if row is None else _event(row)


def secrets_shown(db: Connection, by: str, *, since: int) -> list[int]:
    """Return when `by` was shown a secret after `since`, oldest first."""
    return _done_by(db, "kind = 'secret.shown'", by, since)


def dangers_ordered(db: Connection, by: str, *, since: int) -> list[int]:
    """Return when `by` ordered a dangerous command after `since`, oldest first."""
    what = "kind = 'command.ordered' AND json_extract(data, '$.dangerous')"
    return _done_by(db, what, by, since)


def newest_id(db: Connection) -> int:
    """Return the id of the last event, 0 before the first."""
    row = db.execute("SELECT max(id) FROM events").fetchone()
    return int(row[0] or 0)


def after(db: Connection, after: int, *, limit: int) -> list[Event]:
    """Return the oldest events with an id above `after`, in order."""
    rows = db.execute(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    return [_event(row) for row in rows]


def between(
    db: Connection, after: int, until: int, *, enrollment_id: str | None, limit: int
) -> list[Event]:
    """Return the newest `limit` events with `after` < id ≤ `until`, in order."""
    where = "id > :after AND id <= :until"
    if enrollment_id is not None:
        where += " AND enrollment_id = :enrollment_id"
    rows = db.execute(
        f"{_SELECT} WHERE {where} ORDER BY id DESC LIMIT :limit",
        {"after": after, "until": until, "enrollment_id": enrollment_id, "limit": limit},
    ).fetchall()
    return [_event(row) for row in reversed(rows)]


def of_link(db: Connection, link: str, *, limit: int) -> list[Event]:
    """Return what last happened by one link, newest first."""
    rows = db.execute(
        f"{_SELECT} WHERE enrollment_id = ? ORDER BY id DESC LIMIT ?", (_LINK + link, limit)
    )
    return [_event(row) for row in rows]


def prune(
    db: Connection, *, after: int, limit: int, before: int, commands_before: int, now: int
) -> int:
    """Forget old events among the `limit` that follow the id `after`, and return where to go on.

    What happened to a command is forgotten sooner: the command itself keeps it. What a clock
    that was ahead has dated in times to come is passed over.
    """
    last, over = after, []
    for id_, at, kind in db.execute(
        "SELECT id, at, kind FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
    ):
        if commands_before <= at <= now:
            break
        last = id_
        if at < before or (at <= now and kind in (_QUEUED, _FINISHED)):
            over.append((id_,))
    db.executemany("DELETE FROM events WHERE id = ?", over)
    return last


def recent(
    db: Connection, *, enrollment_id: str | None, before: int, limit: int, commands: bool = True
) -> list[Event]:
    """Return the newest events with an id below `before`, of one enrollment or of all.

    Args:
        commands: false leaves out that commands were queued and finished.
    """
    where = "id < :before"
    if enrollment_id is not None:
        where += " AND enrollment_id = :enrollment_id"
    if not commands:
        where += f" AND kind NOT IN ('{_QUEUED}', '{_FINISHED}')"
    rows = db.execute(
        f"{_SELECT} WHERE {where} ORDER BY id DESC LIMIT :limit",
        {"before": before, "enrollment_id": enrollment_id, "limit": limit},
    )
    return [_event(row) for row in rows]


def _add_commands(db: Connection, kind: str, changes: Iterable[CommandChange], now: int) -> None:
    rows = [_command_row(kind, change, now) for change in changes]
    if rows:
        db.executemany(_INSERT, rows)


def _command_row(kind: str, change: CommandChange, now: int) -> tuple[int, str, str, str]:
    enrollment_id, uuid, request_type, status = change
    data = {"id": uuid, "request_type": request_type, "status": status}
    return now, kind, enrollment_id, _encode(data).decode()


def _done_by(db: Connection, what: str, by: str, since: int) -> list[int]:
    """`what` names the kind as its partial index does, which a parameter would not."""
    rows = db.execute(
        f"""
        SELECT at
          FROM events
         WHERE {what} AND at > ? AND json_extract(data, '$.by') = ?
         ORDER BY at
        """,
        (since, by),
    )
    return [at for (at,) in rows]


def _event(row: tuple[int, int, str, str | None, str]) -> Event:
    id_, at, kind, subject, data = row
    if subject is not None and subject.startswith(_LINK):
        subject = None
    return Event(id=id_, at=_moment(at), kind=kind, enrollment_id=subject, data=_decode(data))


def _moment(at: int) -> datetime:
    moment = from_ms(at)
    assert moment is not None  # noqa: S101 - the column is NOT NULL
    return moment
