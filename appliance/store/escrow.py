"""Escrow: unlock and bootstrap tokens, sealed; the newest counts, older ones are archived."""

from __future__ import annotations

from appliance.store.database import Connection

_ARCHIVED = 5  # of each kind: a device must not be able to fill the disk


def put(db: Connection, enrollment_id: str, kind: str, sealed: bytes, now: int) -> None:
    """Store a sealed secret in place of the current one, which is archived."""
    archive(db, enrollment_id, kind, now)
    db.execute(
        """
        DELETE FROM escrow
         WHERE enrollment_id = :id AND kind = :kind
           AND id NOT IN (SELECT id FROM escrow
                           WHERE enrollment_id = :id AND kind = :kind
                           ORDER BY id DESC
                           LIMIT :kept)
        """,
        {"id": enrollment_id, "kind": kind, "kept": _ARCHIVED},
    )
    db.execute(
        "INSERT INTO escrow (enrollment_id, kind, sealed, stored_at) VALUES (?, ?, ?, ?)",
        (enrollment_id, kind, sealed, now),
    )


def current(db: Connection, enrollment_id: str, kind: str) -> bytes | None:
    """Return the sealed secret that is in force, None if there is none."""
    row = db.execute(
        """
        SELECT sealed
          FROM escrow
         WHERE enrollment_id = ? AND kind = ? AND archived_at IS NULL
        """,
        (enrollment_id, kind),
    ).fetchone()
    return None if row is None else bytes(row[0])


def archive(db: Connection, enrollment_id: str, kind: str | None, now: int) -> None:
    """Take a device's secret of one kind, or of every kind with None, out of force."""
    db.execute(
        """
        UPDATE escrow
           SET archived_at = :now
         WHERE enrollment_id = :enrollment_id
           AND (:kind IS NULL OR kind = :kind)
           AND archived_at IS NULL
        """,
        {"now": now, "enrollment_id": enrollment_id, "kind": kind},
    )
