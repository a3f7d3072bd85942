"""API tokens: only the hash of the secret is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Connection, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A token as it may be shown."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """What the check of a presented token needs."""

    name: str
    secret_sha256: bytes
    scopes: frozenset[str]
    expires_at: int | None
    revoked_at: int | None


def add(
    db: Connection,
    token_id: str,
    *,
    name: str,
    secret_sha256: bytes,
    scopes: list[str],
    now: int,
    expires_at: int | None,
) -> None:
    """Store a new token; a revoked one of the same name makes room for it."""
    db.execute("DELETE FROM api_tokens WHERE name = ? AND revoked_at IS NOT NULL", (name,))
    db.execute(
        """
        INSERT INTO api_tokens (id, name, secret_sha256, scopes, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        (token_id, name, secret_sha256, " ".join(scopes), now, expires_at),
    )


def find(db: Connection, token_id: str) -> StoredToken | None:
    """Return the token of this public id."""
    row = db.execute(
        """
        SELECT name, secret_sha256, scopes, expires_at, revoked_at
          FROM api_tokens
         WHERE id = ?
        """,
        (token_id,),
    ).fetchone()
    if row is None:
        return None
    return StoredToken(
        name=row[0], secret_sha256=bytes(row[1]), scopes=frozenset(row[2].split()),
        expires_at=row[3], revoked_at=row[4],
    )  # fmt: skip


def all_tokens(db: Connection) -> list[ApiToken]:
    """Return every token, by name."""
    rows = db.execute(
        """
        SELECT id, name, scopes, created_at, expires_at, revoked_at
          FROM api_tokens
         ORDER BY name
        """
    )
    return [
        ApiToken(
            id=row[0], name=row[1], scopes=row[2].split(), created_at=from_ms(row[3]),
            expires_at=from_ms(row[4]), revoked_at=from_ms(row[5]),
        )
        for row in rows
    ]  # fmt: skip


def exists(db: Connection, name: str) -> bool:
    """Tell whether a token of this name is in force."""
    row = db.execute(
        "SELECT 1 FROM api_tokens WHERE name = ? AND revoked_at IS NULL", (name,)
    ).fetchone()
    return row is not None


def revoke(db: Connection, name: str, now: int) -> bool:
    """Revoke the token; false if there is none of that name in force."""
    return bool(
        db.execute(
            "UPDATE api_tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
            (now, name),
        ).rowcount
    )
