"""The first start, signing in and out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.people import DESKTOP, NAME, PASSWORD, create_account, window
from tests.device.server import RunningServer


@pytest_asyncio.fixture(loop_scope="package")
async def first_start(browser: Browser, tmp_path: Path) -> AsyncIterator[tuple[Page, str]]:
    """A window on a server that nobody has used, and the address that `init` prints."""
    server = RunningServer(tmp_path / "data")
    done = await asyncio.to_thread(server.cli, "init", "--url", server.url, "--json")
    await asyncio.to_thread(server.start)
    async with window(browser, server.url, DESKTOP) as page:
        yield page, json.loads(done.stdout)["setup_url"]
    assert await asyncio.to_thread(server.stop) == 0


async def _sign_in(page: Page, password: str) -> None:
    await page.get_by_label("Name", exact=True).fill(NAME)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.keyboard.press("Enter")


async def test_from_the_setup_code_to_the_first_page_and_back_in(
    first_start: tuple[Page, str],
) -> None:
    page, setup_address = first_start
    await page.goto("/")
    await expect(page).to_have_url("/setup")
    await page.get_by_label("Setup code").fill("0000-0000-0000-0000")
    await page.get_by_label("Name", exact=True).fill(NAME)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password again").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("alert")).to_contain_text("This setup code is not valid")

    await create_account(page, setup_address)
    await expect(page).to_have_url("/")
    await expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()

    await page.get_by_text(NAME, exact=True).click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url("/login")
    await page.goto("/devices?q=mac")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    await _sign_in(page, "not the password")
    await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    await expect(page.get_by_label("Password", exact=True)).to_be_focused()

    await _sign_in(page, PASSWORD)
    await expect(page).to_have_url("/devices?q=mac")
    assert PASSWORD not in page.url


async def test_a_password_can_be_looked_at_and_nobody_sets_up_twice(
    first_start: tuple[Page, str],
) -> None:
    page, setup_address = first_start
    await page.goto(setup_address)
    await expect(page).to_have_url("/setup")  # the code is kept in no address
    await expect(page.get_by_label("Setup code")).to_have_value(setup_address.partition("#")[2])
    await page.get_by_label("Password", exact=True).fill("short")
    await page.get_by_label("Show passwords").check()
    await expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")

    await create_account(page, setup_address)
    await page.goto(setup_address)
    await expect(page.get_by_role("navigation", name="Sections")).to_be_visible()
