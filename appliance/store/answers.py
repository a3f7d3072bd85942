"""What a channel said last, for people to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Connection, from_ms

# A page that is opened now and then looks no further back than this.
_NEWEST_COMMANDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """The newest good answer to one request type."""

    command: str  # its CommandUUID
    request_type: str
    at: datetime | None
    body: bytes
    sealed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PushState:
    """The channel's pushes: what became of the last one, and when the next one is due."""

    due_at: datetime | None
    attempts: int
    refused_at: datetime | None
    sent_at: datetime | None
    outcome: str | None


def last(db: Connection, enrollment_id: str, request_types: Sequence[str]) -> list[LastAnswer]:
    """Return the newest acknowledged answer to each of the request types, where there is one."""
    rows = db.execute(
        """
        SELECT c.uuid, c.request_type, c.finished_at, r.body, r.sealed
          FROM (SELECT max(n.id) AS id
                  FROM (SELECT id, request_type, status
                          FROM commands
                         WHERE enrollment_id = :id
                         ORDER BY id DESC
                         LIMIT :newest) AS n
                 WHERE n.status = 'acknowledged'
                   AND n.request_type IN (SELECT value FROM json_each(:types))
                 GROUP BY n.request_type) AS found
          JOIN commands AS c ON c.id = found.id
          JOIN command_results AS r ON r.command_id = c.id
        """,
        {"id": enrollment_id, "newest": _NEWEST_COMMANDS, "types": json.dumps(list(request_types))},
    )
    return [
        LastAnswer(
            command=row[0], request_type=row[1], at=from_ms(row[2]), body=bytes(row[3]),
            sealed=bool(row[4]),
        )
        for row in rows
    ]  # fmt: skip


def push_state(db: Connection, enrollment_id: str) -> PushState | None:
    """Return what is known of the channel's pushes, None before the first one."""
    row = db.execute(
        """
        SELECT due_at, attempts, refused_at, sent_at, outcome
          FROM pushes
         WHERE enrollment_id = ?
        """,
        (enrollment_id,),
    ).fetchone()
    if row is None:
        return None
    return PushState(
        due_at=from_ms(row[0]), attempts=row[1], refused_at=from_ms(row[2]),
        sent_at=from_ms(row[3]), outcome=row[4],
    )  # fmt: skip


def escrowed(db: Connection, enrollment_id: str) -> dict[str, datetime | None]:
    """Return since when which kinds of secrets are held of a device."""
    rows = db.execute(
        "SELECT kind, stored_at FROM escrow WHERE enrollment_id = ? AND archived_at IS NULL",
        (enrollment_id,),
    )
    return {kind: from_ms(stored_at) for kind, stored_at in rows}
