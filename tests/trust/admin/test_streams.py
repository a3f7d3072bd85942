"""A live stream lasts no longer than the right to listen."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest

from appliance.app import Parts
from appliance.services.clock import HOUR, now_ms
from appliance.services.sessions import Session
from appliance.web.cookies import SESSION_COOKIE
from tests.device.events import EventStream, listen
from tests.web.browser import NAME, PASSWORD, Browser

# Nothing that is heard stands between the end of the right and that of the stream.
EVENTS = "/api/v1/events?types=backup"
NEW = "another good password"


@asynccontextmanager
async def listening(browser: Browser, session: Session) -> AsyncIterator[EventStream]:
    """A page of this session that has been open for a while."""
    url = str(browser.client.make_url(EVENTS))
    cookie = f"{SESSION_COOKIE}={session.token}"
    async with listen(browser.client.session, url, None, cookie=cookie) as stream:
        with pytest.raises(TimeoutError):
            await stream.next(seconds=1.5)
        yield stream


async def _sign_out_everywhere(parts: Parts) -> None:
    other = await parts.services.accounts.sign_in(NAME, PASSWORD, None)
    await parts.services.sessions.end_all(other)


async def _new_password(parts: Parts) -> None:
    await parts.services.accounts.set_password(NAME, NEW)


async def _removed(parts: Parts) -> None:
    await parts.services.accounts.add_user("second", PASSWORD)
    await parts.services.accounts.remove_user(NAME)


@pytest.mark.parametrize("end", [_sign_out_everywhere, _new_password, _removed])
async def test_d_07_a_live_stream_ends_with_its_session(
    browser: Browser, end: Callable[[Parts], Awaitable[None]]
) -> None:
    async with listening(browser, await browser.sign_up()) as stream:
        await end(browser.parts)
        assert await stream.next(seconds=1) is None


async def test_d_07_a_live_stream_ends_when_its_own_browser_signs_out(browser: Browser) -> None:
    other, session = await browser.sign_up(), await browser.sign_up()
    async with listening(browser, session) as own, listening(browser, other) as others:
        await browser.submit("/logout", {})
        assert await own.next(seconds=1) is None
        with pytest.raises(TimeoutError):
            await others.next(seconds=1.5)


async def test_d_07_who_changes_the_password_goes_on_listening(browser: Browser) -> None:
    other, session = await browser.sign_up(), await browser.sign_up()
    async with listening(browser, session) as own, listening(browser, other) as others:
        form = {"old": PASSWORD, "password": NEW, "again": NEW}
        assert (await browser.submit("/account/password", form)).location == "/account?changed=1"
        assert await others.next(seconds=1) is None
        with pytest.raises(TimeoutError):
            await own.next(seconds=1.5)


def _seen_before(browser: Browser, age: int) -> int:
    """Let the person's last act be so long ago; return when that was."""
    seen = now_ms() - age
    with closing(sqlite3.connect(browser.parts.directory.database)) as db, db:
        db.execute("UPDATE sessions SET seen_at = ?", (seen,))
    return seen


def _seen(browser: Browser) -> int:
    with closing(sqlite3.connect(browser.parts.directory.database)) as db:
        return int(db.execute("SELECT seen_at FROM sessions").fetchone()[0])


async def test_d_07_an_open_page_that_nobody_touches_keeps_no_session(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.web.api.events._ADMITTED_SECONDS", 0.5)
    session = await browser.sign_up()
    seen = _seen_before(browser, 11 * HOUR)
    async with listening(browser, session) as stream:
        assert (await browser.get("/devices", **{"X-Unattended": "1"})).status == 200
        assert _seen(browser) == seen, "neither the stream nor what it brings is a person"
        _seen_before(browser, 12 * HOUR)
        assert await stream.next(seconds=3) is None
    assert (await browser.get("/devices")).location.startswith("/login")


async def test_d_07_what_a_person_does_keeps_the_session_and_its_stream(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.web.api.events._ADMITTED_SECONDS", 0.5)
    session = await browser.sign_up()
    seen = _seen_before(browser, 11 * HOUR)
    async with listening(browser, session) as stream:
        assert (await browser.get("/devices")).status == 200
        assert _seen(browser) > seen
        with pytest.raises(TimeoutError):
            await stream.next(seconds=1.5)


async def test_d_07_a_right_that_ends_while_the_stream_begins_is_noticed(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the door and before anybody listens for the end of it."""
    session, live = await browser.sign_up(), browser.parts.services.live
    subscribe = live.subscribe

    @asynccontextmanager
    async def late(*arguments: object, **options: object) -> AsyncIterator[object]:
        await browser.parts.services.accounts.set_password(NAME, NEW)
        await asyncio.sleep(0.1)
        async with subscribe(*arguments, **options) as subscription:  # type: ignore[arg-type]
            yield subscription

    monkeypatch.setattr(live, "subscribe", late)
    url = str(browser.client.make_url(EVENTS))
    cookie = f"{SESSION_COOKIE}={session.token}"
    async with listen(browser.client.session, url, None, cookie=cookie) as stream:
        assert await stream.next(seconds=1.5) is None
