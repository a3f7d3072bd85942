"""The session cookie on the API, and the guard of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import Parts
from appliance.web import site
from appliance.web.sessions import form_of, session_of, signed_in

from .api_client import ApiClient
from .browser import NAME, Browser

LINKS = "/api/v1/enrollment-links"


async def test_a_session_reads_and_writes_through_the_api(browser: Browser) -> None:
    await browser.sign_up()
    assert (await browser.get("/api/v1/devices")).status == 200
    assert (await browser.call("POST", LINKS, {})).status == 201
    assert (await browser.call("POST", "/api/v1/tokens", {"name": "t"})).status == 201


async def test_d05_a_change_needs_the_token_of_the_page(browser: Browser) -> None:
    session = await browser.sign_up()
    other = session.csrf_token[::-1]
    for token in ("", other, "\u00e9"):
        answer = await browser.call("POST", LINKS, {}, **{"X-CSRF-Token": token})
        assert answer.status == 403, token
    assert (await browser.call("GET", LINKS)).text.count('"code"') == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_d05_a_change_must_come_from_a_page_of_ours(browser: Browser, site: str) -> None:
    await browser.sign_up()
    answer = await browser.call("POST", LINKS, {}, **{"Sec-Fetch-Site": site})
    assert answer.status == 403


async def test_d05_an_old_browser_is_judged_by_its_origin(browser: Browser) -> None:
    session = await browser.sign_up()
    headers = {"X-CSRF-Token": session.csrf_token, "Host": "mdm.example.com:8443"}
    for origin, status in (
        ("https://mdm.example.com:8443", 201),
        ("https://mdm.example.com:9999", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ):
        sent = {**headers, "Origin": origin}
        answer = await browser.request("POST", LINKS, headers=sent, json={})
        assert answer.status == status, origin


async def test_a_token_goes_before_a_session(browser: Browser, api: ApiClient) -> None:
    await browser.sign_up()
    token = await api.new_token("read")
    headers = {"Authorization": f"Bearer {token}"}
    assert (await browser.call("POST", LINKS, {}, **headers)).status == 403
    headers = {"Authorization": "Bearer nonsense"}
    assert (await browser.call("GET", LINKS, **headers)).status == 401


async def test_a_session_does_not_open_nanomdms_interface(browser: Browser) -> None:
    await browser.sign_up()
    for path in ("/v1/pushcert", "/api/v1/nanomdm/pushcert"):
        assert (await browser.call("GET", path)).status == 401


@pytest.fixture
async def page(parts: Parts) -> AsyncIterator[Browser]:
    """A browser before a page of its own that names its reader and takes a form."""

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=session_of(request).user)

    async def change(request: web.Request) -> web.Response:
        return web.Response(text=(await form_of(request))["x"])

    app = site.application(
        parts.config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
    )
    app.router.add_get("/page", signed_in(show))
    app.router.add_post("/page", signed_in(change))
    async with TestClient(TestServer(app)) as client:
        yield Browser(client, parts)


async def test_a_page_is_for_those_who_signed_in(page: Browser) -> None:
    assert (await page.get("/page")).location == "/setup"
    await page.sign_up()
    assert (await page.get("/page")).text == NAME
    page.cookie = None
    answer = await page.get("/page?q=a&b=c")
    assert (answer.status, answer.location) == (303, "/login?next=/page%3Fq%3Da%26b%3Dc")
    assert (await page.submit("/page", {"x": "1"})).location == "/login"


async def test_d05_a_form_carries_the_token_of_its_session(page: Browser) -> None:
    await page.sign_up()
    assert (await page.submit("/page", {"x": "done"})).text == "done"
    assert (await page.submit("/page", {"x": "1", "csrf_token": ""})).status == 403
    assert (await page.submit("/page", {"x": "1", "csrf_token": "0" * 64})).status == 403
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await page.submit("/page", {"x": "1"}, **foreign)).status == 403


async def test_d15_a_rebound_name_sees_no_page(page: Browser) -> None:
    await page.sign_up()
    assert (await page.get("/page", Host="evil.example")).status == 403
    assert (await page.get("/page", Host="mdm.example.com:8443")).status == 200
