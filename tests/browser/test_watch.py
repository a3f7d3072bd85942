"""The watch over every window sees what it is there for."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Error, Route

from tests.browser.people import DESKTOP, window
from tests.device.push import Woken

_PAGE = "<!doctype html><title>x</title>"


async def _visit(browser: Browser, woken: Woken, head: str, status: int = 200) -> None:
    async def answer(route: Route) -> None:
        headers = {"Content-Security-Policy": "default-src 'self'", "Content-Type": "text/html"}
        await route.fulfill(status=status, headers=headers, body=_PAGE + head)

    async with window(browser, woken.server.url, DESKTOP) as page:
        await page.route("**/tampered", answer)
        await page.goto("/tampered")
        await page.evaluate("new Promise((resume) => setTimeout(resume))")


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("<script>document.title = 1</script>", "CSP: script-src-elem forbids inline"),
        ("<p style='color: red'>", "CSP: style-src-attr forbids inline"),
        ("<img src='https://other.invalid/x.png'>", "CSP: img-src forbids https://other.invalid"),
        ("<img src='/static/none.png'>", "404 for https://localhost"),
    ],
)
async def test_a_page_that_may_not_do_something_is_told(
    browser: Browser, woken: Woken, head: str, told: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(told)):
        await _visit(browser, woken, head)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("setTimeout(() => { throw new Error('oh no') })", "script: "),
        ("console.error('look here')", "console: look here"),
    ],
)
async def test_an_error_of_a_script_is_told(
    browser: Browser, woken: Woken, script: str, told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        async with window(browser, woken.server.url, DESKTOP) as page:
            await page.goto("/login")
            await page.evaluate(script)
            await page.evaluate("new Promise((resume) => setTimeout(resume))")


async def test_leaving_for_another_origin_is_told(browser: Browser, woken: Woken) -> None:
    with pytest.raises(AssertionError, match="request to another origin"):
        async with window(browser, woken.server.url, DESKTOP) as page:
            with pytest.raises(Error):
                await page.goto("http://127.0.0.1:9/")


async def test_a_page_with_an_error_status_is_no_error_of_the_page(
    browser: Browser, woken: Woken
) -> None:
    await _visit(browser, woken, "<p>no such page</p>", status=404)
