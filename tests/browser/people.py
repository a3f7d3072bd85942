"""People with browsers. Whatever a page may not do is noticed on every page they open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    WebError,
    expect,
)

PATIENCE_MS = 30_000
NAME, PASSWORD = "Aki", "correct horse battery"

expect.set_options(timeout=PATIENCE_MS)

# The browser tells of it on the console, too; the event also names those it keeps to itself.
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI}`));
"""
_STATUS = "Failed to load resource: the server responded with a status of "


@dataclass  # without slots: Playwright keeps its wrappers of the methods on the object
class Watch:
    """All that was wrong in one browser window: told at the end, so that nobody can forget it."""

    origin: str
    problems: list[str] = field(default_factory=list)
    _shown: set[str] = field(default_factory=set)  # pages that came with an error status

    async def over(self, context: BrowserContext) -> None:
        """Listen to everything that happens in a context."""
        await context.add_init_script(_TELL_VIOLATIONS)
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", self._error)

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if f"{address.scheme}://{address.netloc}" != self.origin:
            self.problems.append(f"request to another origin: {request.url}")

    def _response(self, response: Response) -> None:
        if response.request.is_navigation_request():
            self._shown.add(response.url.partition("#")[0])
        elif response.status >= 400:
            self.problems.append(f"{response.status} for {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        # A page that says "no" has its status, which the console repeats; the test reads the page.
        is_page = message.location["url"].partition("#")[0] in self._shown
        if message.type == "error" and not (is_page and message.text.startswith(_STATUS)):
            self.problems.append(f"console: {message.text}")

    def _error(self, error: WebError) -> None:
        self.problems.append(f"script: {error.error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """How somebody comes to the page: device, language, and whether scripts run."""

    width: int = 1280
    height: int = 900
    user_agent: str | None = None
    language: str = "en-US"
    scheme: Literal["light", "dark"] = "light"
    scripts: bool = True
    touch: bool = False


DESKTOP = Visit()
IPHONE = Visit(
    width=390,
    height=844,
    touch=True,
    user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
)
MAC = Visit(
    user_agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/26.0 Safari/605.1.15"
)


@asynccontextmanager
async def window(
    browser: Browser, origin: str, visit: Visit, *, state: StorageState | None = None
) -> AsyncIterator[Page]:
    """A window on one server; when it closes, nothing that a page may not do has happened."""
    options: dict[str, Any] = {"user_agent": visit.user_agent} if visit.user_agent else {}
    context = await browser.new_context(
        base_url=origin,
        ignore_https_errors=True,
        viewport={"width": visit.width, "height": visit.height},
        locale=visit.language,
        color_scheme=visit.scheme,
        java_script_enabled=visit.scripts,
        has_touch=visit.touch,
        storage_state=state,
        **options,
    )
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(origin)
    await watch.over(context)
    try:
        yield await context.new_page()
    finally:
        await context.close()
    assert not watch.problems, watch.problems


async def create_account(page: Page, setup_address: str) -> None:
    """Make the first account, by the address that `init` or `open` prints."""
    await page.goto(setup_address)
    await page.get_by_label("Name", exact=True).fill(NAME)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password again").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("navigation", name="Sections")).to_be_visible()
