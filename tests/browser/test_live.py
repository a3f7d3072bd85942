"""The page follows what happens, says whether it does, and comes back by itself."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Request, Route, StorageState, expect

from appliance.store.holding import UNTIL_RELEASED
from tests.browser.conftest import Open
from tests.device.device import Device
from tests.device.push import Woken
from tests.device.server import Api

EVENTS = "**/api/v1/events*"
LATE_MS = 90_000  # the longest pause between two attempts, and a server that starts


def pill(page: Page) -> Locator:
    """What the masthead says of the page's freshness."""
    return page.locator("#live [data-when]:not([hidden])")


@pytest_asyncio.fixture(loop_scope="package")
async def unwatched(browser: Browser, woken: Woken, signed_in: StorageState) -> AsyncIterator[Page]:
    """A window of an administrator where errors on the console are expected."""
    context = await browser.new_context(
        base_url=woken.server.url, ignore_https_errors=True, storage_state=signed_in
    )
    yield await context.new_page()
    await context.close()


async def feed_tells_of(page: Page, api: Api, device: Device, request_type: str) -> None:
    """Queue a command, and wait until the page tells of it without being loaded anew."""
    await page.evaluate("window.stayed = true")
    await api.queue(device.id, request_type, push=False)
    told = page.locator("#feed").get_by_text(re.compile(request_type)).first
    await expect(told).to_be_visible(timeout=LATE_MS)
    assert await page.evaluate("window.stayed")


async def test_the_pill_says_that_the_page_is_live(
    administrator: Open, api: Api, device: Device
) -> None:
    page = await administrator()
    await page.goto("/")

    await expect(pill(page)).to_have_text("Live")
    await expect(page.locator("#live-said")).to_be_empty()  # nothing to interrupt a reader with
    await feed_tells_of(page, api, device, "ProfileList")


async def test_what_the_page_fetches_by_itself_says_that_nobody_asked(
    administrator: Open, api: Api, device: Device
) -> None:
    page = await administrator()
    await page.goto("/")
    async with page.expect_request(lambda request: request.resource_type == "fetch") as fetched:
        await feed_tells_of(page, api, device, "SecurityInfo")
    assert (await (await fetched.value).all_headers())["x-unattended"] == "1"


async def test_the_stream_goes_on_where_the_page_ends(
    administrator: Open, api: Api, device: Device
) -> None:
    page = await administrator()
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route(EVENTS, hold)
    await page.goto("/")
    await page.evaluate("window.stayed = true")
    await api.queue(device.id, "CertificateList", push=False)
    held.set()

    told = page.locator("#feed").get_by_text(re.compile("CertificateList")).first
    await expect(told).to_be_visible()
    assert await page.evaluate("window.stayed")


async def test_without_a_stream_the_page_asks_again_and_again(
    unwatched: Page, api: Api, device: Device
) -> None:
    page = unwatched

    async def refuse(route: Route) -> None:
        headers = {"Content-Type": "text/plain"}  # what a proxy in between may answer
        await route.fulfill(status=200, headers=headers, body="no streams here")

    await page.route(EVENTS, refuse)
    await page.goto("/")

    await expect(pill(page)).to_have_text("Reconnecting")
    await feed_tells_of(page, api, device, "SecurityInfo")
    await page.unroute(EVENTS)
    await expect(pill(page)).to_have_text("Live", timeout=LATE_MS)


async def test_what_is_typed_stays_while_the_page_goes_on(
    administrator: Open, woken: Woken, device: Device
) -> None:
    held = await woken.api.queue(device.id, "ProfileList", push=False)
    with closing(sqlite3.connect(woken.server.data / "appliance.db", timeout=20)) as db, db:
        restored = (UNTIL_RELEASED, held)
        db.execute("UPDATE commands SET restored_at = 1, not_before = ? WHERE uuid = ?", restored)
    page = await administrator()
    await page.goto(f"/devices/{device.id}")
    field = page.get_by_label(re.compile("^Or type"))
    await field.fill("C02")
    await field.press("Tab")
    await page.evaluate("window.stayed = true")
    await page.evaluate("document.querySelector('#security').dataset.old = ''")
    await woken.api.queue(device.id, "SecurityInfo", push=False)
    await expect(page.locator("#security[data-old]")).to_have_count(0)
    await expect(field).to_have_value("C02")
    await field.fill("")
    await field.press("Tab")
    await expect(page.locator("#history").get_by_text("SecurityInfo")).to_be_visible()
    assert await page.evaluate("window.stayed")


async def test_whose_session_is_over_is_led_to_where_one_signs_in(
    administrator: Open, api: Api, device: Device
) -> None:
    page = await administrator()
    await page.goto("/devices")
    await expect(pill(page)).to_have_text("Live")
    opened: list[str] = []

    def note(request: Request) -> None:
        if request.is_navigation_request():
            opened.append(urlsplit(request.url).path)

    page.on("request", note)
    await page.context.clear_cookies()
    await api.queue(device.id, "ProfileList", push=False)

    await page.wait_for_url("**/login?next=/devices")
    # Not by loading the page anew, which would repeat what was posted.
    assert opened == ["/login"]


async def test_a_restarted_server_is_found_again(
    unwatched: Page, woken: Woken, device: Device
) -> None:
    page = unwatched
    await page.goto("/")
    await expect(pill(page)).to_have_text("Live")

    assert await asyncio.to_thread(woken.server.stop) == 0
    await expect(pill(page)).to_have_text(re.compile("Reconnecting|Offline"))
    await expect(page.locator("#live-said")).to_have_text(re.compile("Reconnecting|Offline"))
    await asyncio.to_thread(woken.server.start)

    await expect(pill(page)).to_have_text("Live", timeout=LATE_MS)
    await feed_tells_of(page, woken.api, device, "UserList")
