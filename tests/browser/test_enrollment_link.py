"""The page of an enrollment link: copied, printed, and watched while a device comes."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.browser.conftest import Open
from tests.device.device import Device
from tests.device.server import Api

_PAGES = re.compile(rb"/Type\s*/Page\b")


async def new_link(page: Page, label: str) -> str:
    """Make a link by the form; returns its address for people."""
    await page.goto("/enrollment")
    await page.get_by_label("For whom or what").fill(label)
    await page.get_by_role("button", name="Make the link").click()
    await expect(page.get_by_role("heading", name=label)).to_be_visible()
    return await page.locator("#address").input_value()


async def test_a_device_is_watched_while_it_comes(administrator: Open, api: Api) -> None:
    page = await administrator()
    url = await new_link(page, "Yuki's iPad")
    await page.evaluate("window.stayed = true")
    done = page.locator("#journeys .done")

    async with api.session.get(f"{url}/enroll.mobileconfig") as response:
        profile = await response.read()
    await expect(done).to_have_text([re.compile("Profile downloaded")])
    await Device(api.session).enroll_from_profile(profile)
    await expect(done).to_have_count(3)
    await expect(page.locator("#journeys").get_by_role("link", name="Test device")).to_be_visible()
    await expect(page.locator("#link")).to_contain_text("Used up")
    assert await page.evaluate("window.stayed")


async def test_the_address_is_copied(administrator: Open) -> None:
    page = await administrator()
    url = await new_link(page, "Copied")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    await page.get_by_role("button", name="Copy the link").click()

    await expect(page.locator(".copy-said")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == url


async def test_without_a_clipboard_the_address_is_selected(administrator: Open) -> None:
    page = await administrator()
    await page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    )
    url = await new_link(page, "Selected")

    await page.get_by_role("button", name="Copy the link").click()

    await expect(page.locator(".copy-said")).to_contain_text("Selected")
    assert await page.evaluate("String(getSelection())") == url


async def test_the_time_that_is_left_runs_down(administrator: Open) -> None:
    page = await administrator()
    await new_link(page, "Soon over")
    clock = page.locator(".countdown")
    await expect(clock).to_have_text(re.compile(r"^6 days 23:59:\d\d left$"))
    before = await clock.text_content()
    await expect(clock).not_to_have_text(before or "")


async def test_the_poster_is_one_page(administrator: Open) -> None:
    page = await administrator()
    await new_link(page, "A label as long as nobody ever writes one, " * 4 + "and that is all")
    for paper in ("A4", "Letter"):
        assert len(_PAGES.findall(await page.pdf(format=paper))) == 1
    await page.emulate_media(media="print")
    await expect(page.locator(".poster")).to_be_visible()
    await expect(page.locator(".masthead")).to_be_hidden()
