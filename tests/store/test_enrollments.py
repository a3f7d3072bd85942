"""Enrollments: when a channel was heard of last."""

from __future__ import annotations

from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import enrollments
from appliance.store.database import Connection, Database
from tests.web.api_client import NOW

_DAY = 86_400_000
_A = EnrollmentID(id="A", parent_id=None, type=EnrollmentType.DEVICE)


async def test_what_a_clock_ahead_has_noted_is_put_right(enrolled: Database) -> None:
    def unit(db: Connection) -> list[int]:
        seen = []
        for now in (NOW + 365 * _DAY, NOW + _DAY, NOW + _DAY - 1, NOW + _DAY + 999):
            enrollments.hear(db, _A, b"A".ljust(32, b"\0"), now)
            seen.extend(db.execute("SELECT last_seen_at FROM enrollments").fetchone())
        return seen

    right = NOW + _DAY
    assert await enrolled.write(unit) == [NOW + 365 * _DAY, right, right, right]
