"""Commands as people see them: each with its stages, and with the device's answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Connection, from_ms
from appliance.store.holding import UNTIL_RELEASED

# What has expired is shown as it will be closed, which is done once a minute.
_RECORD = """
SELECT c.uuid, c.enrollment_id, c.request_type,
       CASE WHEN c.finished_at IS NULL AND c.expires_at <= :now THEN 'expired' ELSE c.status END,
       c.queued_at, c.pushed_at, c.connected_at,
       CASE WHEN c.finished_at IS NULL AND c.expires_at <= :now THEN c.expires_at
            ELSE c.finished_at END,
       c.expires_at, c.error_chain, r.body, r.sealed, c.id,
       c.not_before, c.restored_at
  FROM commands AS c
  LEFT JOIN command_results AS r ON r.command_id = c.id
"""

# A page of history holds no more of answers than this, and at least one command.
MOST_ANSWER_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """One command of one channel with its four stages, and the raw answer if there is one."""

    id: str
    sequence: int
    target: str
    request_type: str
    status: str
    queued_at: datetime | None
    pushed_at: datetime | None
    connected_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    not_before: datetime | None
    restored_at: datetime | None  # unfinished in a backup: the device may have had it since
    held: bool  # until an administrator releases it
    error_chain: list[dict[str, Any]]
    answer: bytes | None
    answer_sealed: bool

    def is_held(self, now: datetime) -> bool:
        """Tell whether it is kept from its device at `now`."""
        return self.held or (self.finished_at is None and (self.not_before or now) > now)


def find(db: Connection, uuid: str, now: int) -> list[CommandRecord]:
    """Return the command of this UUID, once for each channel that it was queued for."""
    rows = db.execute(f"{_RECORD} WHERE c.uuid = :uuid ORDER BY c.id", {"uuid": uuid, "now": now})
    return [_record(row) for row in rows]


def history(
    db: Connection, enrollment_id: str, *, before: int, limit: int, now: int
) -> list[CommandRecord]:
    """Return a channel's commands, newest first, with a sequence below `before`.

    They are less than `limit` also when their answers reach MOST_ANSWER_BYTES.
    """
    rows = db.execute(
        f"""
        {_RECORD}
         WHERE c.enrollment_id = :enrollment_id AND c.id < :before
         ORDER BY c.id DESC
         LIMIT :limit
        """,
        {"enrollment_id": enrollment_id, "before": before, "limit": limit, "now": now},
    )
    records: list[CommandRecord] = []
    size = 0
    for row in rows:
        records.append(_record(row))
        size += answer_bytes(records[-1:])
        if size >= MOST_ANSWER_BYTES:
            break
    return records


def newest(db: Connection, enrollment_id: str, *, limit: int, now: int) -> list[CommandRecord]:
    """Return a channel's newest commands, newest first, without their answers."""
    rows = db.execute(
        f"""
        {_RECORD.replace("r.body, r.sealed", "NULL, 0")}
         WHERE c.enrollment_id = :enrollment_id
         ORDER BY c.id DESC
         LIMIT :limit
        """,
        {"enrollment_id": enrollment_id, "limit": limit, "now": now},
    )
    return [_record(row) for row in rows]


def answer_bytes(records: Sequence[CommandRecord]) -> int:
    """Return how much the answers are together."""
    return sum(len(record.answer or b"") for record in records)


def _record(row: tuple[Any, ...]) -> CommandRecord:
    return CommandRecord(
        id=row[0],
        target=row[1],
        request_type=row[2],
        status=row[3],
        queued_at=from_ms(row[4]),
        pushed_at=from_ms(row[5]),
        connected_at=from_ms(row[6]),
        finished_at=from_ms(row[7]),
        expires_at=from_ms(row[8]),
        error_chain=json.loads(row[9]) if row[9] else [],
        answer=None if row[10] is None else bytes(row[10]),
        answer_sealed=bool(row[11]),
        sequence=row[12],
        not_before=None if row[13] == UNTIL_RELEASED else from_ms(row[13]),
        restored_at=from_ms(row[14]),
        held=row[13] == UNTIL_RELEASED and row[7] is None,
    )
