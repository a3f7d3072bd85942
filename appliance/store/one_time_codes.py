"""Codes that let somebody in once: the first user, or a user without a password at hand."""

from __future__ import annotations

from appliance.store.database import Connection


def add(db: Connection, sha256: bytes, *, user_id: int | None, expires_at: int) -> None:
    """Store a new code; one without a user makes the first user."""
    db.execute(
        "INSERT INTO one_time_codes (sha256, user_id, expires_at) VALUES (?, ?, ?)",
        (sha256, user_id, expires_at),
    )


def is_setup(db: Connection, sha256: bytes, now: int) -> bool:
    """Tell whether this code may make the first user."""
    row = db.execute(
        "SELECT 1 FROM one_time_codes WHERE sha256 = ? AND user_id IS NULL AND expires_at > ?",
        (sha256, now),
    ).fetchone()
    return row is not None


def void_setup(db: Connection) -> None:
    """Make every setup code useless."""
    db.execute("DELETE FROM one_time_codes WHERE user_id IS NULL")


def take(db: Connection, sha256: bytes, now: int) -> tuple[int, str] | None:
    """Use up a sign-in code and return the id and name of its user, None if it is not in force."""
    row = db.execute(
        """
        SELECT users.id, users.name
          FROM one_time_codes
          JOIN users ON users.id = one_time_codes.user_id
         WHERE one_time_codes.sha256 = ?
           AND one_time_codes.expires_at > ?
        """,
        (sha256, now),
    ).fetchone()
    if row is None:
        return None
    db.execute("DELETE FROM one_time_codes WHERE sha256 = ?", (sha256,))
    return int(row[0]), str(row[1])


def remove_of(db: Connection, user_id: int) -> None:
    """Make the codes of one user useless."""
    db.execute("DELETE FROM one_time_codes WHERE user_id = ?", (user_id,))


def prune(db: Connection, now: int) -> None:
    """Forget what has expired."""
    db.execute("DELETE FROM one_time_codes WHERE expires_at <= ?", (now,))
