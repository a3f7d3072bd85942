"""Who is let in, and from where: names, addresses, sessions, scopes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from aiohttp import web

from appliance.app import open_appliance
from appliance.config import Config
from appliance.services.clock import HOUR, MINUTE, now_ms
from tests.web.api_client import ApiClient
from tests.web.browser import NAME, PASSWORD, Browser

FOR_DEVICES = re.compile(
    r"/($|mdm|checkin|scep|ota|e/|enroll$|enroll/|trust|root|ca\.crl|healthz|readyz|version|static"
    r"|\.well-|MDMServiceConfig)"
)
WRONG = {"name": NAME, "password": "not the password"}
CLAIMS = ("X-Forwarded-For", "X-Real-IP", "True-Client-IP", "Forwarded", "CF-Connecting-IP")


def addresses(app: web.Application) -> Iterator[tuple[str, str]]:
    """Method and path of everything that there is, with something in each place of a path."""
    for route in app.router.routes():
        resource = route.resource
        assert resource is not None
        if route.method != "HEAD":
            yield (
                route.method.replace("*", "PUT"),
                re.sub(r"{\w+(:[^{}]*)?}", "one", resource.canonical),
            )


async def test_d_03_a_claimed_address_is_no_new_one(browser: Browser) -> None:
    await browser.sign_up()
    browser.cookie = None
    statuses = []
    for number in range(15):
        claimed = f"192.0.2.{number}"
        headers = dict.fromkeys(CLAIMS, claimed) | {"Forwarded": f"for={claimed}"}
        statuses.append((await browser.submit("/login", WRONG, **headers)).status)
    assert statuses == [403] * 5 + [429] * 10


async def test_d_07_a_removed_administrator_is_out_at_once(browser: Browser) -> None:
    accounts = browser.parts.services.accounts
    await browser.sign_up()
    await accounts.add_user("second", "another good password")
    assert (await browser.get("/api/v1/devices")).status == 200
    await accounts.remove_user(NAME)
    assert (await browser.get("/api/v1/devices")).status == 401
    assert (await browser.get("/devices")).location.startswith("/login")


async def test_a_form_outlives_neither_its_session_nor_the_password(browser: Browser) -> None:
    accounts, sessions = browser.parts.services.accounts, browser.parts.services.sessions
    stale = (await browser.sign_up()).csrf_token
    await sessions.end(browser.cookie or "")
    form = {"csrf_token": stale, "uses": "1", "expires_in": "1d"}
    assert (await browser.submit("/enrollment", form)).location.startswith("/login")
    current = (await browser.sign_up()).csrf_token
    assert current != stale
    assert (await browser.submit("/enrollment", form)).status == 403, "of another session"
    await accounts.set_password(NAME, "another good password")
    again = await browser.submit("/enrollment", {**form, "csrf_token": current})
    assert again.location.startswith("/login")
    assert await browser.parts.services.enrolling.links(None, 1) == ([], None)


async def test_d_07_a_quarter_of_an_hour_unused_or_twelve_hours_old_can_be_the_end(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, auth=replace(config.auth, session_idle="15m", session_max="12h"))
    now = now_ms()
    monkeypatch.setattr("appliance.services.sessions.now_ms", lambda: now)
    async with open_appliance(config) as parts:
        accounts, sessions = parts.services.accounts, parts.services.sessions
        await accounts.add_user(NAME, PASSWORD)
        idle = (await accounts.sign_in(NAME, PASSWORD, None)).token
        busy = (await accounts.sign_in(NAME, PASSWORD, None)).token
        began = now = now_ms()
        while now < began + 12 * HOUR - 5 * MINUTE:
            now += 5 * MINUTE
            assert await sessions.find(busy) is not None, "it is in use"
            assert (await sessions.find(idle, attended=False) is None) == (
                now >= began + 15 * MINUTE
            )
        now = began + 12 * HOUR
        assert await sessions.find(busy) is None


async def test_d_07_a_restart_revives_no_session_and_no_token(config: Config) -> None:
    async with open_appliance(config) as parts:
        accounts, tokens = parts.services.accounts, parts.services.tokens
        sessions = parts.services.sessions
        await accounts.add_user(NAME, "correct horse battery")
        ended, kept = [
            (await accounts.sign_in(NAME, "correct horse battery", None)).token for _ in range(2)
        ]
        await sessions.end(ended)
        _, token = await tokens.create("t", ["read"])
        await tokens.revoke("t")
    async with open_appliance(config) as parts:
        assert await parts.services.sessions.find(ended) is None
        assert await parts.services.sessions.find(kept) is not None
        with pytest.raises(Exception, match="the token is not valid"):
            await parts.services.tokens.authenticate(token)


async def test_d_09_what_is_not_allowed_for_one_target_is_done_for_none(api: ApiClient) -> None:
    both = [api.enroll("one"), api.enroll("two")]
    writer = await api.new_token("write")
    lock = {"request_type": "DeviceLock", "confirm": {"serial_number": "SERIAL-one"}}
    for token, body, status in (
        (writer, {"targets": ["one", "nobody"], "request_type": "ProfileList"}, 404),
        (writer, {"targets": ["one"], **lock}, 403),
        (api.token, {"targets": both, **lock}, 422),
    ):
        answer = await api.call("POST", "/api/v1/commands", body, token=token)
        assert answer.status == status, answer.text
    with api.database() as db:
        assert db.execute("SELECT count(*) FROM commands").fetchone() == (0,)


async def test_d_09_whoever_may_read_changes_nothing_anywhere(api: ApiClient) -> None:
    api.enroll("one")
    reader, asked = await api.new_token("read"), 0
    for method, path in addresses(api.client.app):
        if method == "GET" or FOR_DEVICES.match(path):
            continue
        is_page = not path.startswith(("/api/", "/v1/", "/migration"))
        answer = await api.call(method, path, token=reader, allow_redirects=False)
        expected = (303, 400) if is_page else (403,)  # a page asks for a session
        assert answer.status in expected, (method, path, answer.text)
        asked += 1
    assert asked > 40
    with api.database() as db:
        assert db.execute("SELECT count(*) FROM commands").fetchone() == (0,)
        assert db.execute("SELECT state FROM enrollments").fetchall() == [("enrolled",)]


async def test_d_10_the_store_knows_a_token_by_its_hash_alone(api: ApiClient) -> None:
    made = await api.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})
    secret = made.json["token"].split("_", 2)[2]
    with closing(sqlite3.connect(api.parts.directory.database)) as db:
        everything = "\n".join(db.iterdump())
    assert "ci" in everything
    assert secret not in everything
    assert secret.encode().hex() not in everything.lower()


async def test_d_15_a_rebound_name_reaches_nothing_of_the_administrators(api: ApiClient) -> None:
    refused = 0
    for method, path in addresses(api.client.app):
        headers = {"Host": "evil.example", "Authorization": f"Bearer {api.token}"}
        async with api.client.request(method, path, headers=headers) as answer:
            is_refused = answer.status == 403
        assert is_refused is not bool(FOR_DEVICES.match(path)), (method, path)
        refused += is_refused
    assert refused > 40


async def test_d_16_no_answer_shares_itself_with_another_origin(api: ApiClient) -> None:
    for method, path in addresses(api.client.app):
        for origin in ("https://evil.example", "null", "https://mdm.example.com.evil.example"):
            headers = {"Origin": origin, "Access-Control-Request-Method": method}
            answer = await api.call("OPTIONS", path, token=None, headers=headers)
            shared = [name for name in answer.headers if name.startswith("Access-Control-Allow")]
            assert shared == [], path


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
async def test_d_27_a_time_outside_of_the_calendar_is_refused_and_not_kept(
    api: ApiClient, until: str
) -> None:
    """Stored, it could not be shown: nor could the device, its commands or the tokens."""
    api.enroll("one")
    order = {"targets": ["one"], "request_type": "ProfileList", "expires_at": until}
    token = {"name": "ci", "scopes": ["read"], "expires_at": until}
    for path, body in (("/api/v1/commands", order), ("/api/v1/tokens", token)):
        answer = await api.call("POST", path, body)
        assert answer.status == 422, answer.text
        assert answer.json["errors"][0]["pointer"] == "/expires_at"
    for path in ("/api/v1/devices/one/commands", "/api/v1/devices/one", "/api/v1/tokens"):
        assert (await api.call("GET", path)).status == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=1000000000", "limit=-1", "limit=1e3", "limit=0x10", "limit=", "sort=push_magic",
        "order=secret", "filter=push_token", "q=a&q=b&fields=push_token", f"q={'a' * 3000}",
    ],
)  # fmt: skip
async def test_d_27_only_what_is_offered_can_be_asked(api: ApiClient, query: str) -> None:
    api.enroll("one")
    for path in ("/api/v1/devices", "/api/v1/devices/one/commands", "/api/v1/devices/one/events"):
        answer = await api.call("GET", f"{path}?{query}")
        assert answer.status in (400, 422), (path, answer.text)
        assert "magic" not in answer.text.replace("push_magic", "")


async def test_d_27_a_search_sees_no_hidden_column(api: ApiClient) -> None:
    api.enroll("one")
    with api.database() as db:
        ((push_magic, sha256),) = db.execute(
            "SELECT push_magic, hex(certificate_sha256) FROM enrollments"
        ).fetchall()
    for sought in (push_magic, sha256, sha256.lower(), "com.apple.mgmt", "' OR 1=1 --"):
        found = await api.call("GET", "/api/v1/devices", params={"q": sought})
        assert found.json["items"] == [], sought
