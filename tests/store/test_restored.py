"""What a restore holds waits for an administrator, and for nothing else."""

from __future__ import annotations

from appliance.store import commands, pushes, restored
from appliance.store.commands import NewCommand
from appliance.store.database import Connection, Database

NOW = 1_800_000_000_000
YEARS = 50 * 365 * 86_400_000


def _queue(db: Connection, *request_types: str) -> None:
    db.execute(
        """
        INSERT INTO enrollments (id, type, state, push_token, last_seen_at)
        VALUES ('A', 'device', 'enrolled', x'00', 1)
        """
    )
    rows = [
        NewCommand(uuid=name, enrollment_id="A", request_type=name, payload=b"")
        for name in request_types
    ]
    commands.enqueue(db, rows, NOW)
    pushes.request(db, "A", NOW)


def _hold_erase(db: Connection) -> None:
    restored.close_doors(db, NOW, lambda uuid, *_: uuid == "EraseDevice")


def _next(db: Connection, now: int = NOW) -> str | None:
    found = commands.next_command(db, "A", idle=True, now=now)
    return None if found is None else found.uuid


async def test_h_03_no_time_and_no_clock_releases_it(database: Database) -> None:
    def unit(db: Connection) -> None:
        _queue(db, "EraseDevice", "ProfileList")
        _hold_erase(db)
        commands.release_by(db, latest=NOW + 60_000)
        assert _next(db) == "ProfileList"
        db.execute("UPDATE commands SET status = 'cancelled', finished_at = 1 WHERE id = 2")
        assert _next(db) is None
        assert _next(db, NOW + YEARS) is None

    await database.write(unit)


async def test_h_03_nobody_is_woken_for_it_until_it_is_released(database: Database) -> None:
    def unit(db: Connection) -> None:
        _queue(db, "EraseDevice")
        _hold_erase(db)
        pushes.drop(db, "A", NOW)
        assert pushes.next_due(db) is None
        pushes.request_for_backlog(db, "A", NOW)
        assert pushes.next_due(db) is None
        assert restored.release(db, "EraseDevice", "A", NOW, by="Aki")
        assert _next(db) == "EraseDevice"

    await database.write(unit)


async def test_h_03_what_was_with_the_device_can_be_cancelled_after_a_restore(
    database: Database,
) -> None:
    def unit(db: Connection) -> None:
        _queue(db, "EraseDevice")
        assert _next(db) == "EraseDevice"
        _hold_erase(db)
        assert commands.cancel(db, "EraseDevice", NOW) == 1

    await database.write(unit)
