"""A command that cannot be taken back: it asks twice, waits, and can be undone meanwhile."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from playwright.async_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.test_commands import dots, sent_uuid
from tests.device.device import Device
from tests.device.push import Woken

_HOLD_MS = 45_000  # 10 s of undo, the push, and a busy machine


async def _erase(page: Page, device: Device, serial_number: str) -> None:
    await page.goto(f"/devices/{device.id}")
    await page.get_by_role("link", name="Erase…").click()
    await page.get_by_label(re.compile("^Reason")).fill("lost on the train")
    await page.get_by_label(re.compile("^Type the serial number")).fill(serial_number)
    await page.get_by_role("button", name="Send EraseDevice").click()


async def _nothing_queued(woken: Woken, device: Device) -> bool:
    answer = await woken.api.get(f"/api/v1/devices/{device.id}/commands")
    return answer.status == 200 and answer.json["items"] == []


async def test_a_wrong_serial_number_sends_nothing(
    administrator: Open, woken: Woken, device: Device
) -> None:
    page = await administrator()
    await _erase(page, device, "C02WRONG")
    told = page.get_by_role("alert")
    await expect(told).to_contain_text("This is not its serial number. Nothing was sent.")
    field = page.get_by_label(re.compile("^Type the serial number"))
    await expect(field).to_be_focused()
    await expect(field).to_have_accessible_description(re.compile("not its serial number"))
    await expect(page.get_by_label(re.compile("^Reason"))).to_have_value("lost on the train")
    assert await _nothing_queued(woken, device)
    assert (await device.idle()).command is None


async def test_without_a_reason_nothing_is_sent(
    administrator: Open, woken: Woken, device: Device
) -> None:
    page = await administrator()
    await page.goto(f"/devices/{device.id}/send/EraseDevice")
    field = page.get_by_label(re.compile("^Type the serial number"))
    await field.fill(device.serial_number)
    await field.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Say why: it is recorded.")
    assert await _nothing_queued(woken, device)


async def test_it_counts_down_and_is_undone_or_done(
    administrator: Open, woken: Woken, device: Device
) -> None:
    spared = await woken.api.enroll()
    page, second = await administrator(), await administrator()
    await _erase(page, device, device.serial_number)
    command = await sent_uuid(page)
    await page.evaluate("window.stayed = true")
    assert (await device.idle()).command is None, "it is held"

    await _erase(second, spared, spared.serial_number)
    undone = await sent_uuid(second)
    await expect(dots(second, undone).first).to_contain_text("held")
    countdown = second.get_by_role("timer")
    before = await countdown.inner_text()
    await expect(countdown).not_to_have_text(before)
    assert re.fullmatch(r"Sent in \d s", await countdown.inner_text())
    await second.get_by_role("button", name="Undo").click()
    await expect(dots(second, undone).last).to_contain_text("cancelled")
    await expect(second.get_by_role("button", name="Undo")).to_have_count(0)

    await expect(dots(page, command).nth(1)).to_contain_text("done", timeout=_HOLD_MS)
    await expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    received = (await device.idle()).command
    assert received is not None and received.request_type == "EraseDevice"
    await device.acknowledge(received)
    await expect(dots(page, command).last).to_contain_text("answered done")
    assert await page.evaluate("window.stayed"), "the page was not loaded anew"
    assert (await spared.idle()).command is None
    assert woken.pushes_to(spared.token) == 0

    await page.locator(f"#command-{command}").get_by_role("link").click()
    await expect(page.get_by_text("The device did it.")).to_be_visible()


async def test_the_hold_is_as_long_as_the_server_says_whatever_the_clock_here(
    administrator: Open, device: Device
) -> None:
    page = await administrator()
    await page.clock.install(time=datetime(2031, 1, 1, tzinfo=UTC))
    await _erase(page, device, device.serial_number)
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"Sent in ([1-9]|10) s"))
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert (await device.idle()).command is None
