"""Renewals: who is due, who is given time, and who is not sent anything."""

from __future__ import annotations

from functools import partial

import pytest

from appliance.store import commands, renewals
from appliance.store.commands import NewCommand
from appliance.store.database import Connection, Database

_DAY = 86_400_000
_NOW = 1_000 * _DAY


def _enroll(db: Connection, name: str, *, left: int, life: int = 730) -> None:
    ends = _NOW + left * _DAY
    db.execute(
        """
        INSERT INTO certificates (sha256, serial, der, public_key_sha256, transaction_id,
                                  enrollment_id, issued_at, not_after)
        VALUES (?, ?, x'', x'', '', ?, ?, ?)
        """,
        (name.encode(), name, name, ends - life * _DAY, ends),
    )
    db.execute(
        """
        INSERT INTO enrollments (id, type, state, certificate_sha256, last_seen_at)
        VALUES (?, 'Device', 'enrolled', ?, 0)
        """,
        (name, name.encode()),
    )


def _send(db: Connection, name: str, *, days_ago: int) -> None:
    at = _NOW - days_ago * _DAY
    renewals.put(db, name, f"to {name}", at)
    command = NewCommand(
        uuid=f"to {name}", enrollment_id=name, request_type="InstallProfile", payload=b"",
        expires_at=at + 14 * _DAY,
    )  # fmt: skip
    commands.enqueue(db, [command], at)


def _due(db: Connection, *, limit: int = 10) -> list[str]:
    return renewals.due(db, now=_NOW, before=180 * _DAY, retry_before=_NOW - 7 * _DAY, limit=limit)


@pytest.mark.parametrize(
    ("left", "life", "expected"),
    [(181, 730, []), (180, 730, ["A"]), (1, 730, ["A"]), (0, 730, []), (-1, 730, []),
     (60, 100, []), (50, 100, ["A"])],
)  # fmt: skip
async def test_an_identity_is_due_near_its_end_but_not_in_the_first_half_of_its_life(
    database: Database, left: int, life: int, expected: list[str]
) -> None:
    await database.write(partial(_enroll, name="A", left=left, life=life))
    assert await database.read(_due) == expected


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE enrollments SET blocked_at = 1",
        "UPDATE enrollments SET state = 'checked_out'",
        "UPDATE enrollments SET state = 'forgotten'",
        "UPDATE enrollments SET state = 'authenticated'",
        "UPDATE certificates SET revoked_at = 1",
        "UPDATE certificates SET adopted = 1",
    ],
)
async def test_who_is_not_ours_to_renew_is_sent_nothing(database: Database, change: str) -> None:
    def unit(db: Connection) -> None:
        _enroll(db, "A", left=90)
        assert _due(db) == ["A"]
        db.execute(change)
        assert _due(db) == []

    await database.write(unit)


@pytest.mark.parametrize(
    ("days_ago", "finished", "expected"),
    [(1, False, []), (8, False, []), (15, False, ["A"]), (6, True, []), (8, True, ["A"]),
     (-3, False, []), (-3, True, ["A"])],
)  # fmt: skip
async def test_one_waits_at_a_time_and_a_failed_one_is_repeated_after_a_week(
    database: Database, days_ago: int, finished: bool, expected: list[str]
) -> None:
    def unit(db: Connection) -> None:
        _enroll(db, "A", left=90)
        _send(db, "A", days_ago=days_ago)
        if finished:
            commands.cancel(db, "to A", _NOW)
        assert _due(db) == expected

    await database.write(unit)


async def test_those_that_end_first_go_first_and_only_so_many(database: Database) -> None:
    def unit(db: Connection) -> None:
        for name, left in (("A", 90), ("B", 10), ("C", 170)):
            _enroll(db, name, left=left)
        assert _due(db) == ["B", "A", "C"]
        assert _due(db, limit=2) == ["B", "A"]
        _send(db, "B", days_ago=0)
        assert _due(db, limit=2) == ["A", "C"]

    await database.write(unit)


async def test_a_new_identity_owes_nothing_to_the_renewal_of_the_last(database: Database) -> None:
    def unit(db: Connection) -> None:
        _enroll(db, "A", left=90)
        _send(db, "A", days_ago=1)
        found = renewals.identity(db, "A", _NOW)
        assert found is not None
        assert (found.command_id, found.status) == ("to A", "queued")
        _enroll(db, "B", left=90)
        db.execute("UPDATE enrollments SET certificate_sha256 = NULL WHERE id = 'B'")
        db.execute("UPDATE enrollments SET certificate_sha256 = ? WHERE id = 'A'", (b"B",))
        found = renewals.identity(db, "A", _NOW)
        assert found is not None
        assert found.command_id is None

    await database.write(unit)
