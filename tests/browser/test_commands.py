"""A command by its form: what the page shows while it travels, without being loaded anew."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Open
from tests.device.device import Device
from tests.device.push import Woken

AFTER = re.compile(r"\+\d+(\.\d+)? s")


def dots(page: Page, command_uuid: str) -> Locator:
    """The four stages of a command in the list of a device."""
    return page.locator(f"#command-{command_uuid}").get_by_label("Stages").get_by_role("listitem")


async def sent_uuid(page: Page) -> str:
    """The command that the page of the device points at after it was sent."""
    await page.wait_for_url(re.compile("#command-"))
    return page.url.rpartition("#command-")[2]


async def test_the_four_dots_fill_while_one_looks(
    administrator: Open, woken: Woken, device: Device
) -> None:
    page = await administrator()
    await page.goto(f"/devices/{device.id}")
    await page.get_by_role("link", name="Send a command…").click()
    await page.get_by_role("searchbox").fill("information")
    await expect(page.get_by_role("link", name="EraseDevice")).to_be_hidden()
    await page.get_by_role("link", name="DeviceInformation").click()
    await expect(page.get_by_role("checkbox", name="OSVersion", exact=True)).to_be_checked()
    await page.get_by_role("button", name="Send", exact=True).click()
    command = await sent_uuid(page)
    await page.evaluate("window.stayed = true")
    stages = dots(page, command)

    await woken.pushed(command)
    await expect(stages.nth(1)).to_contain_text("accepted by Apple done")
    await expect(stages.nth(1)).to_contain_text(AFTER)
    await expect(stages.nth(2)).to_contain_text("connected waiting")

    received = (await device.idle()).command
    assert received is not None and received.uuid == command
    await expect(stages.nth(2)).to_contain_text("connected done")
    await expect(stages.nth(2)).to_contain_text(AFTER)
    await expect(stages.nth(3)).to_contain_text("answered waiting")

    await device.acknowledge(received, QueryResponses={"DeviceName": "Lab Mac"})
    await expect(stages.nth(3)).to_contain_text("answered done")
    await expect(stages.nth(3)).to_contain_text(AFTER)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lab Mac")
    assert await page.evaluate("window.stayed"), "the page was not loaded anew"
