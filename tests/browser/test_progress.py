"""A person enrolls a device, and the page on it tells how far it has come."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.people import IPHONE, Visit
from tests.device.device import Device
from tests.device.server import Api


async def installed(page: Page, api: Api) -> Device:
    """What the device does with the profile behind the page's button."""
    address = await page.get_by_role("link", name="Download management profile").get_attribute(
        "href"
    )
    async with api.session.get(f"{api.server.url}{address}") as response:
        profile = await response.read()
    device = Device(api.session)
    await device.enroll_from_profile(profile)
    return device


async def test_the_page_ticks_off_what_the_device_has_done(stranger: Open, api: Api) -> None:
    page = await stranger(IPHONE)
    link = await api.new_link()
    await page.goto(link.url)
    await expect(page.get_by_role("heading", name="What the server sees")).to_be_hidden()

    device = await installed(page, api)

    ticks = page.locator(".ticks .done")
    await expect(ticks).to_have_text(
        ["Profile downloaded", "Certificate issued", "Device enrolled"]
    )
    await expect(page.get_by_text("Test device · MacBook Pro")).to_be_visible()
    await expect(page.get_by_text("This device is managed now.")).to_be_visible()

    await page.reload()  # as Safari does when the person returns from Settings
    await expect(page.get_by_role("heading", name="This link has been used")).to_be_visible()
    await expect(ticks).to_have_count(3)
    await api.queue(device.id, push=False)
    command = (await device.idle()).command
    assert command is not None
    await device.acknowledge(command, ProfileList=[])
    await expect(ticks).to_have_count(4)


async def test_whoever_scans_the_code_shares_the_page(stranger: Open, api: Api) -> None:
    computer, phone = await stranger(), await stranger(IPHONE)
    link = await api.new_link()
    await computer.goto(f"{link.url}?device=other")
    visit = parse_qs(urlsplit(computer.url).query)["v"][0]
    await phone.goto(f"{link.url}?v={visit}")

    await installed(phone, api)

    await expect(computer.get_by_text("This device is managed now.")).to_be_visible()


async def test_another_page_of_the_link_hears_nothing(stranger: Open, api: Api) -> None:
    mine, other = await stranger(IPHONE), await stranger(IPHONE)
    link = await api.new_link(uses=2)
    await mine.goto(link.url)
    await other.goto(link.url)

    await installed(mine, api)
    await expect(mine.get_by_text("This device is managed now.")).to_be_visible()
    async with other.expect_response("**/progress*") as answer:
        pass
    assert await (await answer.value).json() == {"link": "open", "devices": []}
    await expect(other.get_by_text("Test device")).to_be_hidden()


@pytest.mark.parametrize("language", ["en-US", "ja-JP"])
async def test_without_scripts_a_sentence_stands_there(
    stranger: Open, api: Api, language: str
) -> None:
    page = await stranger(Visit(scripts=False, language=language, user_agent=IPHONE.user_agent))
    await page.goto((await api.new_link()).url)
    await expect(page.get_by_text("JavaScript")).to_be_visible()
