"""Commands that are held: what could do harm a second time waits until a person releases it."""

from __future__ import annotations

import sqlite3

from appliance.mdm.catalogue import catalogue

# In `not_before`: held until an administrator releases it, as after a restore. The last second that
# RFC 3339 can write: whoever asks what may be handed out now needs to know nothing of it.
UNTIL_RELEASED = 253_402_300_799_000

# `sent` and `not_now` would keep an administrator from cancelling it.
HELD = f"status = 'queued', not_before = {UNTIL_RELEASED}"

SINCE_SCHEMA = 4  # older releases would take the mark for a time that comes

# They are dangerous if they touch the management profile, which only a service can tell.
_OF_PROFILES = frozenset({"InstallProfile", "RemoveProfile"})


def hold_in_copy(db: sqlite3.Connection, now: int) -> None:
    """Mark what is unfinished in a copy of the store, and hold what may do harm.

    Who goes back to the copy does not know what its devices have done since it was made.
    `db` may be of any schema from `SINCE_SCHEMA` on.
    """
    db.execute("UPDATE commands SET restored_at = ? WHERE finished_at IS NULL", (now,))
    waiting = db.execute("SELECT DISTINCT request_type FROM commands WHERE finished_at IS NULL")
    db.executemany(
        f"""
        UPDATE commands SET {HELD}
         WHERE finished_at IS NULL AND request_type = ?
        """,
        [(name,) for (name,) in waiting.fetchall() if _may_harm(name)],
    )


def _may_harm(request_type: str) -> bool:
    spec = catalogue().get(request_type)
    return spec is None or spec.dangerous or request_type in _OF_PROFILES
