"""Housekeeping, while the clock is not what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config import AuthConfig
from appliance.services import housekeeping as module
from appliance.services.clock import DAY, MINUTE, now_ms
from appliance.services.housekeeping import Housekeeping
from appliance.services.sessions import SessionService
from appliance.store import events
from appliance.store.database import Connection, Database


def finish(db: Connection, *, at: int) -> None:
    """A command is over."""
    events.command_finished(db, ("A", "1", "ProfileList", "acknowledged"), at)


async def test_what_a_clock_behind_has_passed_over_is_forgotten_when_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    housekeeping = Housekeeping(database, SessionService(database, AuthConfig()))
    await database.write(lambda db: finish(db, at=now_ms() - 3 * DAY))
    await database.write(lambda db: finish(db, at=now_ms() - MINUTE))
    with monkeypatch.context() as patched:
        patched.setattr(module, "now_ms", lambda: now_ms() - 10 * DAY)
        await housekeeping.close_expired()
    await housekeeping.close_expired()
    assert len(await database.read(lambda db: events.after(db, 0, limit=9))) == 1
    await database.close()
