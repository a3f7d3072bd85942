"""Sessions of people who signed in; only the hash of the cookie is stored."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session in force, and whose it is."""

    user_id: int
    user: str
    seen_at: int


def add(db: Connection, sha256: bytes, user_id: int, now: int) -> None:
    """Store a new session."""
    db.execute(
        "INSERT INTO sessions (sha256, user_id, created_at, seen_at) VALUES (?, ?, ?, ?)",
        (sha256, user_id, now, now),
    )


def find(
    db: Connection, sha256: bytes, *, created_after: int, seen_after: int
) -> StoredSession | None:
    """Return the session, unless it was begun or last seen too long ago."""
    row = db.execute(
        """
        SELECT sessions.user_id, users.name, sessions.seen_at
          FROM sessions
          JOIN users ON users.id = sessions.user_id
         WHERE sessions.sha256 = ?
           AND sessions.created_at > ?
           AND sessions.seen_at > ?
        """,
        (sha256, created_after, seen_after),
    ).fetchone()
    return None if row is None else StoredSession(user_id=row[0], user=row[1], seen_at=row[2])


def user_of(db: Connection, sha256: bytes) -> int | None:
    """Return whose session it is, None if there is none."""
    row = db.execute("SELECT user_id FROM sessions WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else int(row[0])


def count_like(db: Connection, sha256: bytes, *, created_after: int, seen_after: int) -> int:
    """Return how many sessions in force the user of this one has."""
    row = db.execute(
        """
        SELECT count(*)
          FROM sessions
         WHERE user_id = (SELECT user_id FROM sessions WHERE sha256 = ?)
           AND created_at > ?
           AND seen_at > ?
        """,
        (sha256, created_after, seen_after),
    ).fetchone()
    return int(row[0])


def touch(db: Connection, sha256: bytes, now: int) -> None:
    """Note that the session is in use."""
    db.execute("UPDATE sessions SET seen_at = ? WHERE sha256 = ?", (now, sha256))


def remove(db: Connection, sha256: bytes) -> str | None:
    """End one session; return whose it was, None if there is none."""
    row = db.execute(
        """
        DELETE FROM sessions WHERE sha256 = ?
        RETURNING (SELECT name FROM users WHERE users.id = user_id)
        """,
        (sha256,),
    ).fetchone()
    return None if row is None else str(row[0])


def remove_of(db: Connection, user_id: int, *, keep: bytes = b"") -> None:
    """End every session of the user but the one whose hash is `keep`."""
    db.execute("DELETE FROM sessions WHERE user_id = ? AND sha256 != ?", (user_id, keep))


def prune(db: Connection, *, created_before: int, seen_before: int) -> None:
    """Forget what has expired; the table holds one row a browser, so it is read whole."""
    db.execute(
        "DELETE FROM sessions WHERE created_at <= ? OR seen_at <= ?", (created_before, seen_before)
    )
