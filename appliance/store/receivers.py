"""Receivers that were added by command: what is stored of them is sealed."""

from __future__ import annotations

from appliance.store.database import Connection


def all_sealed(db: Connection) -> list[tuple[str, bytes]]:
    """Return id and what is sealed of every receiver, in the order in which they were added."""
    return db.execute(
        "SELECT id, sealed FROM webhook_receivers ORDER BY created_at, rowid"
    ).fetchall()


def put(db: Connection, id_: str, sealed: bytes, now: int) -> None:
    """Store a receiver, or what has changed of it."""
    db.execute(
        """
        INSERT INTO webhook_receivers (id, sealed, created_at) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed
        """,
        (id_, sealed, now),
    )


def remove(db: Connection, id_: str) -> None:
    """Forget a receiver."""
    db.execute("DELETE FROM webhook_receivers WHERE id = ?", (id_,))
