"""What a restore has held: shown where a person looks, and sent only when that is typed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.store.holding import UNTIL_RELEASED

from .conftest import Office

NOW = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
async def restored(office: Office) -> Office:
    """A Mac that was to be erased, and to list its profiles, when the backup was made."""
    with office.api.database() as db:
        db.execute("UPDATE devices SET serial_number = 'C02ONE' WHERE enrollment_id = 'one'")
        db.executemany(
            """
            INSERT INTO commands (uuid, enrollment_id, request_type, queued_at,
                                  restored_at, not_before)
            VALUES (?, 'one', ?, ?, ?, ?)
            """,
            [
                ("erase", "EraseDevice", NOW, NOW, UNTIL_RELEASED),
                ("list", "ProfileList", NOW, NOW, None),
            ],
        )
        db.commit()
    return office


def _held(office: Office) -> tuple[str, int | None]:
    with office.api.database() as db:
        row = db.execute("SELECT status, not_before FROM commands WHERE uuid = 'erase'").fetchone()
        return str(row[0]), row[1]


async def test_home_and_the_devices_page_say_what_is_held(restored: Office) -> None:
    home = await restored.open("/")
    assert "1 dangerous command is held since the restore" in home
    assert 'href="/devices/one"' in home
    page = await restored.open("/devices/one")
    assert "Or type C02ONE to send it" in page
    assert "the device may do it twice" in page
    assert "C02ONE" in await restored.open("/commands/erase")


async def test_it_is_sent_when_the_serial_number_is_typed(restored: Office) -> None:
    path = "/commands/erase/release"
    for typed in ({}, {"serial_number": "C02TWO"}):
        assert (await restored.browser.submit(path, typed)).status == 422
        assert _held(restored) == ("queued", UNTIL_RELEASED)
    answer = await restored.browser.submit(path, {"serial_number": " C02ONE "})
    assert (answer.status, answer.location) == (303, "/devices/one#command-erase")
    assert _held(restored) == ("queued", None)
    (event,) = restored.events("command.released")
    assert (event["id"], event["request_type"]) == ("erase", "EraseDevice")
    assert "is held since the restore" not in await restored.open("/")


async def test_a_mistyped_serial_number_is_told_beside_its_field(restored: Office) -> None:
    typed, ja = {"serial_number": "C02TWO"}, {"Accept": "text/html", "Accept-Language": "ja"}
    shown = await restored.browser.submit("/commands/erase/release", typed, **ja)
    assert "confirm.serial_number" not in shown.text
    about = shown.text.partition(
        'value="C02TWO" aria-invalid="true" aria-describedby="about-serial'
    )
    assert "このデバイスのシリアル番号ではありません。" in about[2].partition("</div>")[0]
    assert 'action="/commands/erase/release"' in shown.text, "it can be typed again"


async def test_a_command_of_any_uuid_is_released_or_dropped(restored: Office) -> None:
    with restored.api.database() as db, db:
        db.execute("UPDATE commands SET uuid = 'a/b' WHERE uuid = 'erase'")
    page = await restored.open("/devices/one")
    assert 'action="/commands/a%2Fb/undo"' in page
    path = "/commands/a%2Fb/release"
    assert f'action="{path}"' in page
    assert (await restored.browser.submit(path, {"serial_number": "C02ONE"})).status == 303


async def test_it_is_dropped_by_one_click(restored: Office) -> None:
    assert (await restored.browser.submit("/commands/erase/undo", {})).status == 303
    assert _held(restored)[0] == "cancelled"
    assert "is held since the restore" not in await restored.open("/")


async def test_the_last_backup_is_on_the_first_page(office: Office) -> None:
    assert "one is made every night" in await office.open("/")
