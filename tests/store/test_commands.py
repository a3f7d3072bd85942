"""Commands that expire while the device has them: it may answer still, and may have obeyed."""

from __future__ import annotations

import pytest

from appliance.mdm.command import CommandResult, Status
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import command_records, commands, events
from appliance.store.commands import NewCommand
from appliance.store.database import Connection, Database
from tests.web.api_client import NOW

_A = EnrollmentID(id="A", parent_id=None, type=EnrollmentType.DEVICE)


def _let_expire(
    db: Connection, *, handed_out: bool, request_type: str = "InstallProfile", sealed: bool = True
) -> None:
    command = NewCommand(
        uuid="U", enrollment_id="A", request_type=request_type, payload=b"to the device",
        sealed=sealed, expires_at=NOW + 60,
    )  # fmt: skip
    commands.enqueue(db, [command], NOW)
    if handed_out:
        assert commands.next_command(db, "A", idle=True, now=NOW + 50) is not None
    assert commands.expire(db, NOW + 61) == 1


def _report(db: Connection, status: Status) -> str | None:
    result = CommandResult(enrollment=_A, status=status, command_uuid="U", error_chain=())
    return commands.report(db, result, b"from the device", NOW + 70)


def _told(db: Connection) -> list[str]:
    return [one.data["status"] for one in events.after(db, 0, limit=9) if "status" in one.data]


@pytest.mark.parametrize("sealed", [False, True])
async def test_an_answer_that_comes_late_is_kept_and_told(enrolled: Database, sealed: bool) -> None:
    def unit(db: Connection) -> None:
        _let_expire(db, handed_out=True, sealed=sealed)
        assert _report(db, Status.ACKNOWLEDGED) == "InstallProfile"
        assert _report(db, Status.ERROR) is None, "it is final now"
        (record,) = command_records.find(db, "U", NOW + 80)
        assert (record.status, record.answer) == ("acknowledged", b"from the device")
        assert record.finished_at is not None
        assert _told(db) == ["queued", "expired", "acknowledged"]

    await enrolled.write(unit)


@pytest.mark.parametrize(
    ("handed_out", "status"), [(False, Status.ACKNOWLEDGED), (True, Status.NOT_NOW)]
)
async def test_what_no_device_had_or_what_it_refuses_stays_expired(
    enrolled: Database, handed_out: bool, status: Status
) -> None:
    def unit(db: Connection) -> None:
        _let_expire(db, handed_out=handed_out)
        assert _report(db, status) is None
        (record,) = command_records.find(db, "U", NOW + 80)
        assert (record.status, record.answer) == ("expired", None)
        assert _told(db) == ["queued", "expired"]

    await enrolled.write(unit)


@pytest.mark.parametrize("handed_out", [False, True])
async def test_an_erase_that_expired_has_been_told_if_the_device_had_it(
    enrolled: Database, handed_out: bool
) -> None:
    def unit(db: Connection) -> bool:
        _let_expire(db, handed_out=handed_out, request_type="EraseDevice")
        return commands.was_told_to_erase(db, "A", since=NOW)

    assert await enrolled.write(unit) is handed_out


@pytest.mark.parametrize("lives_on", ["NotNow", "heard of"])
async def test_an_erase_that_expired_was_none_if_the_device_lives_on(
    enrolled: Database, lives_on: str
) -> None:
    def unit(db: Connection) -> bool:
        _let_expire(db, handed_out=True, request_type="EraseDevice")
        if lives_on == "NotNow":
            _report(db, Status.NOT_NOW)
        else:
            db.execute("UPDATE enrollments SET last_seen_at = ?", (NOW + 70,))
        return commands.was_told_to_erase(db, "A", since=NOW)

    assert not await enrolled.write(unit)
