"""The list of devices, the keyboard, and why a device is silent."""

from __future__ import annotations

import re

from playwright.async_api import expect

from appliance.simulator.apns import ApnsAnswer
from tests.browser.conftest import Open
from tests.device.device import Device
from tests.device.push import Woken


async def test_the_list_follows_what_is_typed(
    administrator: Open, woken: Woken, device: Device
) -> None:
    other = await woken.api.enroll()
    page = await administrator()
    await page.goto("/devices")
    await page.evaluate("window.stayed = true")
    await expect(page.get_by_text(device.serial_number)).to_be_visible()
    await expect(page.get_by_text(other.serial_number)).to_be_visible()

    await page.get_by_role("searchbox").press_sequentially(device.serial_number.lower())
    await expect(page.get_by_text("1 device found")).to_be_visible()
    await expect(page.get_by_text(other.serial_number)).to_have_count(0)
    await expect(page).to_have_url(re.compile(r"\?q=" + device.serial_number.lower()))

    await page.get_by_label("State").select_option("Blocked")
    await expect(page.get_by_role("heading", name="No device found")).to_be_visible()
    await page.get_by_label("State").select_option("Answering")
    await expect(page.get_by_text(device.serial_number)).to_be_visible()
    assert await page.evaluate("window.stayed"), "the page was not loaded anew"

    await page.reload()
    await expect(page.get_by_role("searchbox")).to_have_value(device.serial_number.lower())
    await page.get_by_role("link", name="Test device").click()
    await expect(page.get_by_role("heading", name="Test device", level=1)).to_be_visible()


async def test_a_new_device_appears_by_itself(administrator: Open, woken: Woken) -> None:
    page = await administrator()
    await page.goto("/devices")
    await expect(page.get_by_role("searchbox")).to_be_visible()
    device = await woken.api.enroll()
    await expect(page.get_by_text(device.serial_number)).to_be_visible()


async def test_the_keyboard_leads_everywhere(administrator: Open, device: Device) -> None:
    page = await administrator()
    await page.goto("/")
    await page.keyboard.press("g")
    await page.keyboard.press("d")
    await expect(page).to_have_url("/devices")

    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("gh?")
    await expect(page.get_by_role("searchbox")).to_have_value("gh?")
    await page.keyboard.press("Tab")
    await page.get_by_role("heading", level=1).click()

    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keyboard")
    await expect(keys).to_be_visible()
    await expect(keys.get_by_role("button", name="Close")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(keys).to_be_hidden()

    await page.keyboard.press("g")
    await page.keyboard.press("h")
    await expect(page).to_have_url("/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()


async def test_a_silent_device_is_explained(
    administrator: Open, woken: Woken, device: Device
) -> None:
    woken.apns.script(device.token, ApnsAnswer(status=410, reason="Unregistered"))
    page = await administrator()
    await page.goto(f"/devices/{device.id}")
    await expect(page.get_by_text("Why is it silent?")).to_have_count(0)
    await page.get_by_role("button", name="Refresh information").click()
    await page.get_by_text("Why is it silent?").click()

    found = page.get_by_role("listitem").filter(has_text="Apple refuses its push token")
    await expect(found).to_contain_text("Found:")
    await expect(found).to_contain_text("Unregistered")
    ruled_out = page.get_by_role("listitem").filter(has_text="The push certificate is good.")
    await expect(ruled_out).to_contain_text("Ruled out:")
