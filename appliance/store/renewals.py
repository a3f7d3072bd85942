"""Renewals: the profile that each device was last sent to renew its identity."""

from __future__ import annotations

import json
from dataclasses import dataclass

from appliance.store.database import Connection
from appliance.store.enrollments import MANAGED

# The identity began at `issued_at`: one of short life is renewed in the second half of it.
_ENDS_SOON = "c.not_after - :now <= min(:before, (c.not_after - c.issued_at) / 2)"

# What was sent last for the identity that is in use, if anything was.
_LAST = """
  FROM enrollments AS e
  JOIN certificates AS c ON c.sha256 = e.certificate_sha256
  LEFT JOIN renewals AS r ON r.enrollment_id = e.id AND r.replaces = e.certificate_sha256
  LEFT JOIN commands AS k ON k.uuid = r.command_uuid AND k.enrollment_id = r.enrollment_id
"""

_WAITS = "(k.finished_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The certificate of a device, and the profile that was last sent to renew it; Unix ms."""

    issued_at: int
    not_after: int
    adopted: bool  # another server's authority issued it
    command_id: str | None
    queued_at: int | None
    status: str | None  # of that command
    finished_at: int | None
    problem: str  # the first of the device's errors


def due(db: Connection, *, now: int, before: int, retry_before: int, limit: int) -> list[str]:
    """Return the devices that are to be sent a profile, the next to end first.

    Args:
        before: so many milliseconds before its end an identity is to be renewed.
        retry_before: what was queued after that is given time, whatever became of it.
    """
    rows = db.execute(
        f"""
        SELECT e.id {_LAST}
         WHERE {MANAGED} AND c.adopted = 0 AND c.revoked_at IS NULL
           AND c.not_after > :now AND {_ENDS_SOON}
           AND (r.queued_at IS NULL
                OR r.queued_at NOT BETWEEN :retry_before AND :now
                   AND (k.id IS NULL OR NOT {_WAITS}))
         ORDER BY c.not_after
         LIMIT :limit
        """,
        {"now": now, "before": before, "retry_before": retry_before, "limit": limit},
    )
    return [row[0] for row in rows]


def waiting(db: Connection, enrollment_id: str, now: int) -> str | None:
    """Return the UUID of the command that still waits for the device, None if none does."""
    row = db.execute(
        f"SELECT k.uuid {_LAST} WHERE e.id = :id AND k.id IS NOT NULL AND {_WAITS}",
        {"id": enrollment_id, "now": now},
    ).fetchone()
    return None if row is None else str(row[0])


def put(db: Connection, enrollment_id: str, command_uuid: str, now: int) -> None:
    """Record what is about to be queued to replace the present identity."""
    db.execute(
        """
        INSERT OR REPLACE INTO renewals (enrollment_id, replaces, command_uuid, queued_at)
        SELECT id, certificate_sha256, ?, ?
          FROM enrollments
         WHERE id = ? AND certificate_sha256 IS NOT NULL
        """,
        (command_uuid, now, enrollment_id),
    )


def identity(db: Connection, enrollment_id: str, now: int) -> Identity | None:
    """Return the identity of a managed device, None if it has none."""
    row = db.execute(
        f"""
        SELECT c.issued_at, c.not_after, c.adopted, r.command_uuid, r.queued_at,
               CASE WHEN {_WAITS} OR k.finished_at IS NOT NULL THEN k.status
                    WHEN r.command_uuid IS NOT NULL THEN 'expired' END,
               k.error_chain, k.finished_at
        {_LAST}
         WHERE e.id = :id AND {MANAGED}
        """,
        {"id": enrollment_id, "now": now},
    ).fetchone()
    if row is None:
        return None
    chain = json.loads(row[6]) if row[6] else []
    return Identity(
        issued_at=row[0], not_after=row[1], adopted=bool(row[2]), command_id=row[3],
        queued_at=row[4], status=row[5], finished_at=row[7],
        problem=str(chain[0].get("us_english_description") or "") if chain else "",
    )  # fmt: skip


def forget_waiting(db: Connection) -> list[str]:
    """Forget the profiles that no device has answered; return the UUIDs of their commands."""
    rows = db.execute(
        """
        DELETE FROM renewals
         WHERE command_uuid IN (SELECT uuid FROM commands
                                 WHERE enrollment_id = renewals.enrollment_id
                                   AND finished_at IS NULL)
        RETURNING command_uuid
        """
    )
    return [row[0] for row in rows]
