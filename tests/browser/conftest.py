"""One browser and one server for all these tests; each opens windows of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, StorageState, async_playwright

from tests.browser.people import DESKTOP, Visit, create_account, window
from tests.device.device import Device
from tests.device.push import Woken, waking
from tests.device.server import Api

_HERE = Path(__file__).parent
_CHROMIUM = shutil.which("chromium")
# It speaks with nobody but the server: no component, no list of bad addresses is fetched.
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")

Open = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for this folder: a browser belongs to the loop that started it."""
    for item in items:
        if not item.path.is_relative_to(_HERE):
            continue
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)
        if _CHROMIUM is None:
            item.add_marker(pytest.mark.skip("needs chromium: scripts/external-programs"))


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """The browser."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=_CHROMIUM, args=_QUIET, chromium_sandbox=os.geteuid() != 0
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def woken(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Woken]:
    """A server with a loopback push server."""
    async with waking(tmp_path_factory.mktemp("browser")) as story:
        yield story


@pytest.fixture
def api(woken: Woken) -> Api:
    """The administrator's side of the server, without a browser."""
    return woken.api


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def signed_in(browser: Browser, woken: Woken) -> StorageState:
    """What the browser of an administrator keeps: the cookie of a session."""
    address = json.loads(woken.server.cli("open", "--no-browser", "--json").stdout)["url"]
    async with window(browser, woken.server.url, DESKTOP) as page:
        await create_account(page, address)
        return await page.context.storage_state()


@pytest_asyncio.fixture(loop_scope="package")
async def stranger(browser: Browser, woken: Woken) -> AsyncIterator[Open]:
    """Opens windows of somebody without an account."""
    async with AsyncExitStack() as stack:

        async def open_window(visit: Visit = DESKTOP) -> Page:
            return await stack.enter_async_context(window(browser, woken.server.url, visit))

        yield open_window


@pytest_asyncio.fixture(loop_scope="package")
async def administrator(
    browser: Browser, woken: Woken, signed_in: StorageState
) -> AsyncIterator[Open]:
    """Opens windows of somebody who has signed in."""
    async with AsyncExitStack() as stack:

        async def open_window(visit: Visit = DESKTOP) -> Page:
            origin = woken.server.url
            return await stack.enter_async_context(window(browser, origin, visit, state=signed_in))

        yield open_window


@pytest_asyncio.fixture(loop_scope="package")
async def device(api: Api) -> Device:
    """An enrolled device with an empty queue."""
    return await api.enroll()
