"""Every page, judged by axe: both languages, light and dark, wide and narrow; nothing overflows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, StorageState

from appliance.config import Config, ServerConfig
from appliance.web import board
from tests.browser.office import Office, furnish
from tests.browser.people import DESKTOP, window
from tests.device.push import Woken
from tests.device.server import RunningServer

_RULES = """
([part, options]) => axe.run(part, options).then(({violations}) => violations.map(
  ({id, nodes}) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`))
"""
# What is folded is judged, too.
_UNFOLD = "document.querySelectorAll('main details').forEach((one) => { one.open = true; })"
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_QUICK = {"resultTypes": ["violations"], "elementRef": False}
_ALL: dict[str, Any] = {**_QUICK, "rules": {"target-size": {"enabled": True}}}
_COLORS = {**_QUICK, "runOnly": ["cat.color"]}  # all that another scheme can change
_SCHEMES: dict[Literal["light", "dark"], dict[str, Any]] = {"light": _ALL, "dark": _COLORS}

Reach = Callable[[Page], Awaitable[None]]

FOR_ADMINISTRATORS = {
    "home": "/",
    "devices": "/devices",
    "nothing found": "/devices?q=nothing-has-this",
    "device": "/devices/{mac}",
    "silent device": "/devices/{silent}",
    "user channel": "/devices/{user}",
    "commands": "/devices/{mac}/send",
    "plain form": "/devices/{mac}/send/DeviceInformation",
    "nested form": "/devices/{mac}/send/Settings",
    "dangerous form": "/devices/{mac}/send/EraseDevice",
    "answered command": "/commands/{answered}",
    "failed command": "/commands/{failed}",
    "held command": "/commands/{held}",
    "enrollment": "/enrollment",
    "open link": "/enrollment/{link_page}",
    "closed link": "/enrollment/{withdrawn_page}",
    "certificates": "/certificates",
    "activity": "/activity",
    "what needs attention": "/activity?show=attention",
    "account": "/account",
    "no such page": "/nowhere",
}
FOR_EVERYBODY = {
    "sign in": "/login",
    "enroll by code": "/enroll",
    "wrong code": "/enroll?code=nope",
    "link on an iPhone": "/e/{link}?device=iphone",
    "link on a Mac": "/e/{link}?device=mac",
    "link elsewhere": "/e/{link}?device=other",
    "withdrawn link": "/e/{withdrawn}",
    "no such link": "/e/nope",
    "no such page for strangers": "/nowhere",
    "address for devices": "/mdm",
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def office(woken: Woken) -> Office:
    """Devices with a past."""
    return await furnish(woken)


async def judge(page: Page, part: str = "html") -> list[str]:
    """What is wrong with a part of the page, at every size and in both schemes."""
    await page.evaluate(_UNFOLD)
    await page.evaluate(AXE_SCRIPT)
    found = []
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme, options in _SCHEMES.items():
            await page.emulate_media(color_scheme=scheme)
            said = await page.evaluate(_RULES, [part, options])
            found += [f"{width} {scheme} {violation}" for violation in said]
    await page.set_viewport_size({"width": 320, "height": 900})
    overflow = await page.evaluate(_OVERFLOW)
    return [*found, f"overflows 320 by {overflow}"] if overflow > 0 else found


async def _judge_all(
    browser: Browser,
    origin: str,
    reach: Reach,
    state: StorageState | None = None,
    part: str = "html",
) -> None:
    """Judge what `reach` leads to, in both languages."""

    async def judge_in(language: str) -> list[str]:
        visit = replace(DESKTOP, language=language)
        async with window(browser, origin, visit, state=state) as page:
            await reach(page)
            return [f"{language} {said}" for said in await judge(page, part)]

    english, japanese = await asyncio.gather(judge_in("en-US"), judge_in("ja-JP"))
    assert not english and not japanese, [*english, *japanese]


def _at(path: str) -> Reach:
    async def reach(page: Page) -> None:
        await page.goto(path)

    return reach


def _places(office: Office) -> dict[str, str]:
    return {name: getattr(office, name) for name in office.__slots__}


@pytest.mark.parametrize("path", FOR_ADMINISTRATORS.values(), ids=FOR_ADMINISTRATORS)
async def test_the_board_can_be_used_by_everybody(
    browser: Browser, woken: Woken, office: Office, signed_in: StorageState, path: str
) -> None:
    where = path.format(**_places(office))
    await _judge_all(browser, woken.server.url, _at(where), signed_in)


@pytest.mark.parametrize("path", FOR_EVERYBODY.values(), ids=FOR_EVERYBODY)
async def test_pages_for_strangers_can_be_used_by_everybody(
    browser: Browser, woken: Woken, office: Office, path: str
) -> None:
    await _judge_all(browser, woken.server.url, _at(path.format(**_places(office))))


async def test_refusals_can_be_read_by_everybody(
    browser: Browser, woken: Woken, office: Office, signed_in: StorageState
) -> None:
    async def wrong_serial_number(page: Page) -> None:
        await page.goto(f"/devices/{office.mac}/send/EraseDevice")
        await page.locator("#confirm").fill("wrong")
        await page.locator("#reason").fill("lost")
        await page.keyboard.press("Enter")
        await page.locator("[aria-invalid]").wait_for()

    async def wrong_password(page: Page) -> None:
        await page.goto("/login")
        await page.locator("#name").fill("nobody")
        await page.locator("#password").fill("wrong")
        await page.keyboard.press("Enter")
        await page.locator("[aria-invalid]").first.wait_for()

    await _judge_all(browser, woken.server.url, wrong_serial_number, signed_in)
    await _judge_all(browser, woken.server.url, wrong_password)


async def test_menu_and_keys_can_be_used_by_everybody(
    browser: Browser, woken: Woken, signed_in: StorageState
) -> None:
    async def menu(page: Page) -> None:
        await page.goto("/activity")
        await page.locator(".menu summary").click()

    async def keys(page: Page) -> None:
        await page.goto("/activity")
        await page.keyboard.press("?")

    await _judge_all(browser, woken.server.url, menu, signed_in, ".menu")
    await _judge_all(browser, woken.server.url, keys, signed_in, "dialog")


async def test_the_reference_of_the_api_can_be_used_by_everybody(
    browser: Browser, woken: Woken
) -> None:
    async with window(browser, woken.server.url, DESKTOP) as page:  # it has one language
        await page.goto("/api/docs")
        assert not await judge(page)


async def test_the_pages_before_the_first_account_can_be_used_by_everybody(
    browser: Browser, tmp_path: Path
) -> None:
    server = RunningServer(tmp_path / "data")
    await asyncio.to_thread(server.initialise)
    await asyncio.to_thread(server.start)
    try:
        for path in ("/setup", "/enroll"):  # the second: there is no push certificate yet
            await _judge_all(browser, server.url, _at(path))
    finally:
        await asyncio.to_thread(server.stop)


def test_no_page_is_left_out(office: Office) -> None:
    config = Config(data=Path(), server=ServerConfig(url="https://mdm.example.com"))
    routes = [route for route in board.routes(config) if route.method == "GET"]
    seen = [*FOR_ADMINISTRATORS.values(), *FOR_EVERYBODY.values(), "/setup"]
    for route in routes:
        pattern = re.compile(re.sub(r"\{[^}]*\}", "[^/]+", route.path))
        assert any(pattern.fullmatch(path.partition("?")[0]) for path in seen), route.path
