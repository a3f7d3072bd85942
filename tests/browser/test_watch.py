"""The watch over every window sees what it is there for."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, Route

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


async def test_errors_of_scripts_and_other_origins_are_told(browser: Browser, woken: Woken) -> None:
    async def tampered(page: Page, script: str) -> None:
        await page.goto("/login")
        await page.evaluate(script)
        await page.evaluate("new Promise((resume) => setTimeout(resume))")

    for script, told in (
        ("setTimeout(() => { throw new Error('oh no') }, 0)", "script: "),
        ("console.error('look here')", "console: look here"),
        ("location.assign('http://127.0.0.1:9/'); undefined", "request to another origin"),
    ):
        with pytest.raises(AssertionError, match=told):
            async with window(browser, woken.server.url, DESKTOP) as page:
                await tampered(page, script)


async def test_a_page_with_an_error_status_is_no_error_of_the_page(
    browser: Browser, woken: Woken
) -> None:
    await _visit(browser, woken, "<p>no such page</p>", status=404)
