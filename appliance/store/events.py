"""What happened, for people: one line an enrollment, a refusal, an administrator's act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Connection, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry; `data` never holds a secret."""

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
    data: Mapping[str, Any] | None = None,
) -> None:
    """Record that `kind` (`device.enrolled`, `link.created`, …) happened."""
    db.execute(
        "INSERT INTO events (at, kind, enrollment_id, data) VALUES (?, ?, ?, ?)",
        (now, kind, enrollment_id, json.dumps(data or {})),
    )


def happened(db: Connection, kind: str, *, enrollment_id: str, since: int) -> bool:
    """Tell whether `kind` happened to the enrollment after `since`."""
    row = db.execute(
        "SELECT 1 FROM events WHERE enrollment_id = ? AND kind = ? AND at >= ? LIMIT 1",
        (enrollment_id, kind, since),
    ).fetchone()
    return row is not None


def prune(db: Connection, before: int) -> None:
    """Forget what happened before."""
    db.execute("DELETE FROM events WHERE at < ?", (before,))


def recent(db: Connection, *, enrollment_id: str | None, before: int, limit: int) -> list[Event]:
    """Return the newest events with an id below `before`, of one enrollment or of all."""
    rows = db.execute(
        """
        SELECT id, at, kind, enrollment_id, data
          FROM events
         WHERE id < :before
           AND (:enrollment_id IS NULL OR enrollment_id = :enrollment_id)
         ORDER BY id DESC
         LIMIT :limit
        """,
        {"before": before, "enrollment_id": enrollment_id, "limit": limit},
    )
    return [
        Event(id=id_, at=_moment(at), kind=kind, enrollment_id=enrollment, data=json.loads(data))
        for id_, at, kind, enrollment, data in rows
    ]


def _moment(at: int) -> datetime:
    moment = from_ms(at)
    assert moment is not None  # noqa: S101 - the column is NOT NULL
    return moment
