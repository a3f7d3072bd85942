"""Settings that the appliance itself writes: small texts under a key."""

from __future__ import annotations

from appliance.store.database import Connection


def get(db: Connection, key: str) -> str | None:
    """Return the value of `key`, None if it was never set."""
    row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def put(db: Connection, key: str, value: str) -> None:
    """Set `key`."""
    db.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))
