"""Another language, and a browser that runs no scripts."""

from __future__ import annotations

import re
from dataclasses import replace

from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.browser.people import DESKTOP, IPHONE
from tests.browser.test_commands import dots, sent_uuid
from tests.device.device import Device


async def test_the_language_is_chosen_and_stays(administrator: Open, device: Device) -> None:
    page = await administrator()
    await page.goto("/devices")
    await page.get_by_text("Aki", exact=True).click()
    await page.get_by_role("link", name="日本語").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("デバイス")
    await expect(page.locator("html")).to_have_attribute("lang", "ja")
    await page.get_by_role("link", name="ホーム").click()
    await expect(page.get_by_role("heading", name="サーバ")).to_be_visible()
    await page.goto(f"/devices/{device.id}")
    await page.get_by_role("button", name="情報を更新").click()
    stages = page.get_by_label("進行状況").first.get_by_role("listitem")
    await expect(stages.nth(1)).to_contain_text("Appleが受理")


async def test_a_visitor_is_greeted_in_the_language_of_the_browser(stranger: Open) -> None:
    page = await stranger(replace(IPHONE, language="ja-JP"))
    await page.goto("/enroll")
    await expect(page.get_by_role("button")).to_have_text("続ける")


async def test_everything_can_be_read_and_sent_without_scripts(
    administrator: Open, device: Device
) -> None:
    page = await administrator(replace(DESKTOP, scripts=False))
    await page.goto("/")
    await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    await page.get_by_role("link", name="Devices", exact=True).click()
    await page.get_by_role("searchbox").fill(device.serial_number)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="Test device").click()
    await page.get_by_role("link", name="Send a command…").click()
    await page.get_by_role("searchbox").fill("ProfileList")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=re.compile("^ProfileList")).click()
    await page.get_by_role("button", name="Send", exact=True).click()
    command = await sent_uuid(page)
    received = (await device.idle()).command
    assert received is not None and received.uuid == command
    await device.acknowledge(received, ProfileList=[])
    await page.reload()
    await expect(dots(page, command).last).to_contain_text("answered done")
    await page.locator(f"#command-{command}").get_by_role("link").click()
    await expect(page.get_by_text("The device did it.")).to_be_visible()


async def test_a_dangerous_command_is_undone_without_scripts(
    administrator: Open, device: Device
) -> None:
    page = await administrator(replace(DESKTOP, scripts=False))
    await page.goto(f"/devices/{device.id}/send/EraseDevice")
    await page.get_by_label(re.compile("^Reason")).fill("lost")
    await page.get_by_label(re.compile("^Type the serial number")).fill(device.serial_number)
    await page.get_by_role("button", name="Send EraseDevice").click()
    command = await sent_uuid(page)
    await page.get_by_role("button", name="Undo").click()
    await expect(dots(page, command).last).to_contain_text("cancelled")
    assert (await device.idle()).command is None
