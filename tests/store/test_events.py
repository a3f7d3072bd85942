"""Events: what is over is forgotten, whatever a wrong clock has dated beside it."""

from __future__ import annotations

from appliance.store import events
from appliance.store.database import Connection, Database

_DAY = 86_400_000
_NOW = 1_000 * _DAY


def _finish(db: Connection, *, days_ago: int) -> None:
    change = ("A", str(days_ago), "ProfileList", "acknowledged")
    events.command_finished(db, change, _NOW - days_ago * _DAY)


async def test_what_a_clock_ahead_has_dated_does_not_keep_what_follows(database: Database) -> None:
    def unit(db: Connection) -> list[str]:
        events.add(db, "device.enrolled", _NOW + 365 * _DAY, enrollment_id="A")
        for days_ago in (9, -365, 3, 1, 5):  # the last: the clock was behind
            _finish(db, days_ago=days_ago)
        last = 0
        for _ in range(2):
            last = events.prune(
                db, after=last, limit=3, before=_NOW - 400 * _DAY,
                commands_before=_NOW - 2 * _DAY, now=_NOW,
            )  # fmt: skip
        return [event.data.get("id", event.kind) for event in events.after(db, 0, limit=9)]

    assert await database.write(unit) == ["device.enrolled", "-365", "1", "5"]
