"""The list of devices that people read: found by words, state and platform, in order of names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Connection, from_ms
from appliance.store.enrollments import ERASED

STATES = ("enrolled", "silent", "unreachable", "waiting", "authenticated", "blocked",
          "checked_out", "erased", "forgotten")  # fmt: skip
PLATFORMS = ("iphone", "ipad", "mac", "tv", "watch", "vision")

_SHOWN = f"""CASE WHEN e.blocked_at IS NOT NULL THEN 'blocked'
                  WHEN e.state = 'enrolled' AND {ERASED} THEN 'erased'
                  WHEN e.state = 'enrolled' AND e.last_seen_at < :silent_before THEN 'silent'
                  ELSE e.state END"""

# Apple's product names; a device that calls itself an iPad is an iPad, whatever its platform.
_PLATFORM = """CASE WHEN d.model LIKE 'iPad%' THEN 'ipad'
                     WHEN d.model LIKE 'iPhone%' OR d.model LIKE 'iPod%' THEN 'iphone'
                     ELSE CASE json_extract(d.facts, '$.platform')
                               WHEN 'macOS' THEN 'mac' WHEN 'iOS' THEN 'iphone'
                               WHEN 'tvOS' THEN 'tv' WHEN 'watchOS' THEN 'watch'
                               WHEN 'visionOS' THEN 'vision' END
                END"""

_NAMES = """SELECT e.id,
                   substr(coalesce(nullif(d.name, ''), d.serial_number, e.id), 1, 120) AS sort_name
              FROM enrollments AS e
              LEFT JOIN devices AS d ON d.enrollment_id = e.id"""

# As the queue itself: what has expired waits for nothing but to be closed.
_WAITS = "c.finished_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > :now)"

# Of the page alone: to count every queue would read the whole backlog.
_LISTED = f"""
SELECT e.id, substr(d.name, 1, 120), substr(d.serial_number, 1, 60), substr(d.model, 1, 60),
       substr(d.os_version, 1, 30), {_PLATFORM}, {_SHOWN}, e.last_seen_at,
       (SELECT count(*) FROM commands AS c
         WHERE c.enrollment_id = e.id AND {_WAITS}),
       (SELECT count(*) FROM found)
  FROM page
  JOIN enrollments AS e ON e.id = page.id
  LEFT JOIN devices AS d ON d.enrollment_id = e.id
 ORDER BY page.sort_name COLLATE NOCASE, e.id
"""

_STATE_FILTERS = {
    "unreachable": """EXISTS (SELECT 1 FROM pushes AS p
                               WHERE p.enrollment_id = e.id AND p.refused_at IS NOT NULL)""",
    "waiting": f"""EXISTS (SELECT 1 FROM commands AS c
                            WHERE c.enrollment_id = e.id AND {_WAITS})""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; None asks for all. `silent_before` and `now` are Unix milliseconds."""

    query: str | None = None
    state: str | None = None  # one of STATES
    platform: str | None = None  # one of PLATFORMS
    silent_before: int
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A device as a list shows it; its texts are cut, as a device may claim long ones."""

    id: str
    name: str | None
    serial_number: str | None
    model: str | None
    os_version: str | None
    platform: str | None
    state: str  # of STATES, but for `unreachable` and `waiting`
    last_seen: datetime | None
    queue_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One page of devices, how many there are on all pages, and whether more follow."""

    devices: list[Listed]
    total: int
    more: bool


def find(db: Connection, search: Search, *, after: str | None, limit: int) -> Found:
    """Return the devices that `search` finds, by name, behind the one with the ID `after`."""
    rows = db.execute(
        f"""
        WITH found AS MATERIALIZED (
            {_NAMES} WHERE {" AND ".join(_conditions(search))}
        ), page AS (
            SELECT id, sort_name
              FROM found
             WHERE :after IS NULL
                OR (sort_name COLLATE NOCASE, id) >
                   (SELECT sort_name, id FROM ({_NAMES} WHERE e.id = :after))
             ORDER BY sort_name COLLATE NOCASE, id
             LIMIT :limit
        )
        {_LISTED}
        """,
        {
            "silent_before": search.silent_before,
            "now": search.now,
            "state": search.state,
            "platform": search.platform,
            "pattern": f"%{_escape(search.query or '')}%",
            "after": after,
            "limit": limit + 1,
        },
    ).fetchall()
    return Found(
        devices=[_listed(row) for row in rows[:limit]],
        total=rows[0][9] if rows else 0,
        more=len(rows) > limit,
    )


def _conditions(search: Search) -> list[str]:
    conditions = ["e.device_id IS NULL"]
    if search.query:
        columns = ("d.name", "d.serial_number", "d.model", "d.udid", "e.id")
        conditions.append(
            "(" + " OR ".join(f"{name} LIKE :pattern ESCAPE '\\'" for name in columns) + ")"
        )
    if search.state:
        conditions.append(_STATE_FILTERS.get(search.state, f"{_SHOWN} = :state"))
    if search.platform:
        conditions.append(f"{_PLATFORM} = :platform")
    return conditions


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _listed(row: tuple[Any, ...]) -> Listed:
    return Listed(
        id=row[0], name=row[1], serial_number=row[2], model=row[3], os_version=row[4],
        platform=row[5], state=row[6], last_seen=from_ms(row[7]), queue_depth=row[8],
    )  # fmt: skip
