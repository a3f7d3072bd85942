"""A link is made at the board and opened on the devices that are to join."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.people import DESKTOP, IPHONE, MAC, Visit


async def _new_link(page: Page, label: str) -> str:
    """Make a link at the board; its address."""
    await page.goto("/")
    await page.get_by_role("link", name="Enroll", exact=True).click()
    await page.get_by_label("For whom or what").fill(label)
    await page.get_by_role("button", name="Make the link").click()
    await expect(page.get_by_role("heading", name=label)).to_be_visible()
    await expect(page.get_by_role("img", name="QR code")).to_be_visible()
    return await page.get_by_label("Give this address").input_value()


@pytest.mark.parametrize(
    ("visit", "name", "step"),
    [
        (IPHONE, "this iPhone", "enter your passcode and confirm"),
        (MAC, "this Mac", "password of an administrator"),
    ],
    ids=["iphone", "mac"],
)
async def test_a_link_leads_its_device_through_enrollment(
    administrator: Open, stranger: Open, visit: Visit, name: str, step: str
) -> None:
    board = await administrator()
    address = await _new_link(board, f"for {name}")
    guest = await stranger(visit)
    await guest.goto(address)
    await expect(guest.get_by_role("heading", level=1)).to_have_text("Join “Test Lab”")
    await expect(guest.get_by_text(name, exact=False).first).to_be_visible()
    await expect(guest.get_by_text(step)).to_be_visible()
    assert await guest.evaluate("document.documentElement.scrollWidth") == visit.width

    async with guest.expect_download() as started:
        await guest.get_by_role("link", name="Download management profile").click()
    assert (await started.value).suggested_filename == "enroll.mobileconfig"
    await expect(guest.get_by_role("timer")).to_contain_text("left")


async def test_a_code_can_be_typed(administrator: Open, stranger: Open) -> None:
    board = await administrator()
    code = (await _new_link(board, "typed")).rpartition("/")[2]
    guest = await stranger(IPHONE)
    await guest.goto("/enroll")
    await guest.get_by_label("Enrollment code").fill("not-a-code")
    await guest.get_by_role("button", name="Continue").click()
    await expect(guest.get_by_text("No link has this code.")).to_be_visible()
    await guest.get_by_label("Enrollment code").fill(code.lower())
    await guest.get_by_role("button", name="Continue").click()
    await expect(guest.get_by_role("heading", name="Install management")).to_be_visible()


async def test_another_computer_gets_a_qr_code_and_a_withdrawn_link_says_so(
    administrator: Open, stranger: Open
) -> None:
    board = await administrator()
    address = await _new_link(board, "withdrawn")
    guest = await stranger(DESKTOP)
    await guest.goto(address)
    await expect(guest.get_by_text("Open this page on the device that is to join.")).to_be_visible()
    await expect(guest.locator("svg[aria-label], [role=img]").first).to_be_visible()

    await board.get_by_text("Revoke this link…").click()
    await board.get_by_role("button", name="Revoke the link").click()
    await expect(board.get_by_role("button", name="Revoke the link")).to_have_count(0)
    await guest.reload()
    await expect(guest.get_by_role("heading", level=1)).to_have_text("This link was withdrawn")
