"""People who may see the page: a name and the hash of a password."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Connection, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as it may be shown."""

    name: str
    created_at: datetime | None
    password_changed_at: datetime | None
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUser:
    """What signing in needs; `password` is an Argon2id PHC string."""

    id: int
    name: str
    password: str


def add(db: Connection, name: str, folded_name: str, password: str, now: int) -> int:
    """Store a new user and return its id."""
    row = db.execute(
        """
        INSERT INTO users (name, folded_name, password, created_at, password_changed_at)
        VALUES (:name, :folded_name, :password, :now, :now)
        RETURNING id
        """,
        {"name": name, "folded_name": folded_name, "password": password, "now": now},
    ).fetchone()
    return int(row[0])


def find(db: Connection, folded_name: str) -> StoredUser | None:
    """Return the user whose name folds to this."""
    row = db.execute(
        "SELECT id, name, password FROM users WHERE folded_name = ?", (folded_name,)
    ).fetchone()
    return None if row is None else StoredUser(id=row[0], name=row[1], password=row[2])


def all_users(db: Connection) -> list[User]:
    """Return every user, by name."""
    rows = db.execute(
        """
        SELECT name, created_at, password_changed_at, signed_in_at
          FROM users
         ORDER BY folded_name
        """
    )
    return [
        User(
            name=row[0], created_at=from_ms(row[1]), password_changed_at=from_ms(row[2]),
            signed_in_at=from_ms(row[3]),
        )
        for row in rows
    ]  # fmt: skip


def any_exists(db: Connection) -> bool:
    """Tell whether there is a user."""
    return db.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None


def set_password(db: Connection, user_id: int, password: str, now: int) -> None:
    """Replace the password's hash because the password changed."""
    db.execute(
        "UPDATE users SET password = ?, password_changed_at = ? WHERE id = ?",
        (password, now, user_id),
    )


def rehash(db: Connection, user_id: int, password: str) -> None:
    """Replace the hash of the same password by one of other cost."""
    db.execute("UPDATE users SET password = ? WHERE id = ?", (password, user_id))


def signed_in(db: Connection, user_id: int, now: int) -> None:
    """Note when the user last signed in."""
    db.execute("UPDATE users SET signed_in_at = ? WHERE id = ?", (now, user_id))


def remove(db: Connection, user_id: int) -> None:
    """Forget the user, with all sessions and codes."""
    db.execute("DELETE FROM users WHERE id = ?", (user_id,))
