"""What happened, for people: events with the names of their devices, one a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Connection, from_ms

_LATEST = 20_000

# What a view shows; a command that came to an end shows that, one on its way how far it is.
VIEWS: Mapping[str, str] = {
    "attention": """
        (v.kind IN ('certificate.refused', 'device.authenticate_refused', 'device.checked_out',
                    'device.unknown', 'device.arrival_refused', 'device.message_too_large',
                    'user.sign_in_failed', 'webhook.disabled')
         OR v.kind = 'command.finished'
            AND json_extract(v.data, '$.status') IN ('error', 'format_error', 'expired')
         OR v.kind = 'command.queued' AND c.status = 'not_now')""",
    "commands": "v.kind LIKE 'command.%'",
    "enrollments": """
        (v.kind LIKE 'link.%'
         OR v.kind IN ('certificate.issued', 'certificate.refused', 'device.authenticated',
                       'device.enrolled', 'device.checked_out', 'device.forgotten',
                       'device.identity_renewed', 'device.authenticate_refused',
                       'device.reenrollment_allowed', 'device.unknown', 'device.moved',
                       'device.arrived', 'device.arrival_refused', 'device.renewal_sent'))""",
    "security": """
        (v.kind LIKE 'user.%' OR v.kind LIKE 'token.%' OR v.kind LIKE 'push_certificate.%'
         OR v.kind LIKE 'backup.%' OR v.kind LIKE 'webhook.%'
         OR v.kind IN ('secret.shown', 'command.ordered', 'certificate.refused',
                       'certificate.revoked', 'device.authenticate_refused', 'device.blocked',
                       'device.unblocked', 'device.forgotten', 'device.reenrollment_allowed',
                       'device.unknown', 'device.arrived', 'device.arrival_refused',
                       'former_authority.trusted', 'former_authority.distrusted',
                       'command.released', 'link.created', 'link.revoked'))""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event with the name of its device, if it has one that is still known.

    Of a command that is under way, `data["status"]` is how far it is now.
    """

    id: int
    at: datetime | None
    kind: str
    device_id: str | None
    device_name: str | None
    data: dict[str, Any]
    took_ms: int | None = None  # a command, from its queue to its answer

    @property
    def day(self) -> str:
        """The day of it in UTC, 2026-11-24."""
        return "" if self.at is None else f"{self.at:%Y-%m-%d}"


def read(
    db: Connection, *, view: str | None, before: int, limit: int
) -> tuple[list[Entry], int | None]:
    """Return the newest events below the number `before`, of one of `VIEWS` or of all.

    Also returns the number below which the next page begins, None after the last. A page looks
    back only so far; for what is rare it may hold less than `limit`, even nothing.
    """
    newest = db.execute("SELECT max(id) FROM events").fetchone()[0] or 0
    before = min(before, newest + 1)
    floor = before - _LATEST
    rows = db.execute(
        f"""
        SELECT v.id, v.at, v.kind, e.id,
               substr(coalesce(nullif(d.name, ''), d.serial_number, e.id), 1, 120),
               v.data, c.status, c.finished_at - c.queued_at
          FROM events AS v
          LEFT JOIN enrollments AS e ON e.id = v.enrollment_id
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
          LEFT JOIN commands AS c
            ON v.kind IN ('command.queued', 'command.finished')
           AND c.uuid = json_extract(v.data, '$.id') AND c.enrollment_id = v.enrollment_id
         WHERE v.id < :before AND v.id >= :floor
           AND (v.kind != 'command.queued' OR c.id IS NOT NULL AND c.finished_at IS NULL)
           AND {"TRUE" if view is None else VIEWS[view]}
         ORDER BY v.id DESC
         LIMIT :limit
        """,
        {"before": before, "floor": floor, "limit": limit + 1},
    ).fetchall()
    entries = [_entry(row) for row in rows[:limit]]
    if len(rows) > limit:
        return entries, entries[-1].id
    return entries, floor if floor > 1 else None


def _entry(row: tuple[int, int, str, str | None, str | None, str, str | None, int | None]) -> Entry:
    id_, at, kind, device_id, name, text, status, took_ms = row
    data = json.loads(text)
    if kind == "command.queued":
        data["status"] = status
    return Entry(
        id=id_, at=from_ms(at), kind=kind, device_id=device_id, device_name=name, data=data,
        took_ms=took_ms,
    )  # fmt: skip
