"""Renewals: the profile, its challenge and the note of it are queued together, or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from appliance.app import open_appliance
from appliance.config import Config
from appliance.errors import Busy
from appliance.services.clock import DAY
from appliance.store import commands
from tests.web.api_client import NOW, TOPIC, enroll
from tests.web.conftest import config, template

__all__ = ["config", "template"]


def busy(*_arguments: object, **_options: object) -> None:
    """The store, at the worst moment."""
    raise Busy("the disk is full")


async def test_a_renewal_that_could_not_be_queued_is_due_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, enroll=replace(config.enroll, lab_topic=TOPIC))
    async with open_appliance(config) as parts:
        with closing(sqlite3.connect(parts.directory.database)) as db:
            enroll(db, "A", "Mac")
            ends = (NOW - 700 * DAY, NOW + DAY)
            db.execute("UPDATE certificates SET issued_at = ?, not_after = ?", ends)
            db.commit()
            with monkeypatch.context() as patched, pytest.raises(Busy):
                patched.setattr(commands, "enqueue", busy)
                await parts.services.renewals.run()
            for table in ("renewals", "challenges", "events"):
                assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
            await parts.services.renewals.run()
            assert db.execute("SELECT request_type FROM commands").fetchall() == [
                ("InstallProfile",)
            ]
            assert db.execute("SELECT issued_for FROM challenges").fetchall() == [("A",)]
