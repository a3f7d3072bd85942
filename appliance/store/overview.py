"""The overview: what the board's first page and its lists ask of all tables together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.database import Connection, from_ms
from appliance.store.enrollments import ERASED, MANAGED
from appliance.store.holding import UNTIL_RELEASED

# Names are claims of a device and may be long; a list needs no more of one than this.
_NAME = "substr(coalesce(nullif(d.name, ''), d.serial_number, e.id), 1, 120)"

_LATEST_COMMANDS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """One device that something is the matter with: since (or until) when, and what."""

    id: str
    name: str
    at: datetime | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """How many devices something is the matter with, and the first of them."""

    count: int
    devices: tuple[Affected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The certificate that a managed device is bound to."""

    device_id: str
    name: str
    serial: str
    not_after: datetime | None


def states(db: Connection, *, silent_before: int) -> dict[str, int]:
    """Count the devices by state.

    An enrolled one not heard of since `silent_before` is `silent`, one that has neither come nor
    answered since it enrolled is `unheard`.
    """
    rows = db.execute(
        f"""
        SELECT CASE WHEN e.blocked_at IS NOT NULL THEN 'blocked'
                    WHEN e.state = 'enrolled' AND {ERASED} THEN 'erased'
                    WHEN e.state = 'enrolled' AND e.last_seen_at < ? THEN 'silent'
                    WHEN e.state = 'enrolled' AND e.last_seen_at <= e.enrolled_at
                         AND NOT EXISTS (SELECT 1 FROM commands AS c
                                          WHERE c.enrollment_id = e.id
                                            AND c.status IN ('acknowledged', 'error', 'not_now')
                                            AND c.connected_at >= e.enrolled_at)
                    THEN 'unheard'
                    ELSE e.state END AS shown,
               count(*)
          FROM enrollments AS e
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE e.device_id IS NULL
         GROUP BY shown
        """,
        (silent_before,),
    )
    return dict(rows.fetchall())


def silent(db: Connection, *, before: int, limit: int) -> Concern:
    """Return the managed devices not heard of since `before`, the longest silent first."""
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, e.last_seen_at, '', count(*) OVER ()
          FROM enrollments AS e
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE {MANAGED} AND e.last_seen_at < :before AND NOT {ERASED}
         ORDER BY e.last_seen_at
         LIMIT :limit
        """,
        {"before": before, "limit": limit},
    )
    return _concern(rows.fetchall())


def push_refused(db: Connection, *, limit: int) -> Concern:
    """Return the managed devices that Apple pushes to no more, the latest first."""
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, p.refused_at, coalesce(p.outcome, ''), count(*) OVER ()
          FROM pushes AS p
          JOIN enrollments AS e ON e.id = p.enrollment_id
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE {MANAGED} AND p.refused_at IS NOT NULL AND NOT {ERASED}
         ORDER BY p.refused_at DESC
         LIMIT :limit
        """,
        {"limit": limit},
    )
    return _concern(rows.fetchall())


def commands_failed(db: Connection, *, since: int, limit: int) -> Concern:
    """Return what devices refused since then and have not done later, the latest first.

    Looks at the latest commands only, so that its cost does not grow with the history.
    """
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, c.finished_at, c.request_type, count(*) OVER ()
          FROM (SELECT id, enrollment_id, request_type, status, finished_at
                  FROM commands
                 ORDER BY id DESC
                 LIMIT {_LATEST_COMMANDS}) AS c
          JOIN enrollments AS e ON e.id = c.enrollment_id
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE c.status IN ('error', 'format_error') AND c.finished_at > :since
           AND e.state = 'enrolled' AND e.blocked_at IS NULL
           AND NOT EXISTS (SELECT 1
                             FROM commands AS later
                            WHERE later.enrollment_id = c.enrollment_id AND later.id > c.id
                              AND later.request_type = c.request_type
                              AND later.status = 'acknowledged')
         ORDER BY c.id DESC
         LIMIT :limit
        """,
        {"since": since, "limit": limit},
    )
    return _concern(rows.fetchall())


def commands_put_off(db: Connection, *, before: int, limit: int) -> Concern:
    """Return what devices answered NotNow to and was queued before then, the oldest first."""
    condition = "c.finished_at IS NULL AND c.status = 'not_now' AND c.queued_at < :before"
    values = {"before": before, "limit": limit}
    return _commands(db, f"{condition} ORDER BY c.queued_at", values)


def commands_held(db: Connection, *, now: int, limit: int) -> Concern:
    """Return what a restore holds until an administrator releases or cancels it."""
    condition = f"""c.restored_at IS NOT NULL AND c.finished_at IS NULL
           AND c.not_before = {UNTIL_RELEASED}
           AND (c.expires_at IS NULL OR c.expires_at > :now)"""
    return _commands(db, f"{condition} ORDER BY c.id", {"now": now, "limit": limit})


def _commands(db: Connection, which: str, values: dict[str, int]) -> Concern:
    """Return the commands that wait; `which` is a condition and an order."""
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, c.queued_at, c.request_type, count(*) OVER ()
          FROM commands AS c
          JOIN enrollments AS e ON e.id = c.enrollment_id
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE {which}
         LIMIT :limit
        """,
        values,
    )
    return _concern(rows.fetchall())


def identities_ending(db: Connection, *, now: int, before: int, limit: int) -> Concern:
    """Return the managed devices whose identity ends before then, the next first.

    One of short life counts in its last quarter: it is renewed in the third.
    """
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, c.not_after, '', count(*) OVER ()
          FROM enrollments AS e
          JOIN certificates AS c ON c.sha256 = e.certificate_sha256
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE {MANAGED} AND c.not_after < :before
           AND c.not_after - :now < (c.not_after - c.issued_at) / 4
         ORDER BY c.not_after
         LIMIT :limit
        """,
        {"now": now, "before": before, "limit": limit},
    )
    return _concern(rows.fetchall())


def identities(db: Connection, *, limit: int) -> list[Identity]:
    """Return the identities of managed devices, the next to end first."""
    rows = db.execute(
        f"""
        SELECT e.id, {_NAME}, c.serial, c.not_after
          FROM enrollments AS e
          JOIN certificates AS c ON c.sha256 = e.certificate_sha256
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
         WHERE {MANAGED}
         ORDER BY c.not_after
         LIMIT :limit
        """,
        {"limit": limit},
    )
    return [
        Identity(device_id=row[0], name=row[1], serial=row[2], not_after=from_ms(row[3]))
        for row in rows
    ]


def last_push(db: Connection) -> datetime | None:
    """Return when Apple last accepted a push."""
    return from_ms(db.execute("SELECT max(sent_at) FROM pushes").fetchone()[0])


def _concern(rows: Sequence[tuple[Any, ...]]) -> Concern:
    return Concern(
        count=rows[0][4] if rows else 0,
        devices=tuple(
            Affected(id=row[0], name=row[1], at=from_ms(row[2]), detail=row[3]) for row in rows
        ),
    )
