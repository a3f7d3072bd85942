"""What browsers are told with every answer, and what hostile names become in pages."""

from __future__ import annotations

import re

from aiohttp import ClientResponse

from appliance.web.cookies import SESSION_COOKIE
from tests.trust.admin.test_access import addresses
from tests.web.api_client import ApiClient
from tests.web.browser import Browser

HOSTILE = (
    "=cmd|' /C calc'!A1",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "photo\u202egnp.exe",
)


async def opened(browser: Browser, path: str) -> ClientResponse:
    """The answer to a browser that goes there, with the session if there is one."""
    cookie = {} if browser.cookie is None else {"Cookie": f"{SESSION_COOKIE}={browser.cookie}"}
    async with browser.client.get(path, headers=cookie, allow_redirects=False) as answer:
        return answer


async def test_d_13_every_answer_says_what_a_browser_must_not_do(
    browser: Browser, api: ApiClient
) -> None:
    api.enroll("one")
    pages, bare = 0, set()
    for signed_in in (False, True):
        if signed_in:
            await browser.sign_up()
        for method, path in addresses(browser.client.app):
            if method != "GET" or path == "/api/v1/events":
                continue
            answer = await opened(browser, path)
            if answer.headers.get("X-Content-Type-Options") != "nosniff":
                bare.add(path)
            if not answer.headers.get("Content-Type", "").startswith("text/html"):
                continue
            pages += 1
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy or "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert "unsafe" not in policy, path
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin", path
            assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer"), path
            assert answer.headers["Cache-Control"] in ("no-store", "no-cache"), path
    assert bare == set()
    assert pages > 15


async def test_d_12_hostile_names_are_text_in_every_page(browser: Browser, api: ApiClient) -> None:
    await browser.sign_up()
    for number, name in enumerate(HOSTILE):
        api.enroll(f"device-{number}")
        with api.database() as db, db:
            db.execute(
                "UPDATE devices SET name = ?, model = ?, facts = json_set(facts, '$.name', ?)"
                " WHERE enrollment_id = ?",
                (name, name, name, f"device-{number}"),
            )
        link = await api.call("POST", "/api/v1/enrollment-links", {"label": name})
        assert link.status == 201
        order = {"targets": [f"device-{number}"], "request_type": "ProfileList", "reason": name}
        assert (await api.call("POST", "/api/v1/commands", order)).status == 202
    paths = ["/", "/devices", "/activity", "/enrollment"]
    paths += [f"/devices/device-{number}" for number in range(len(HOSTILE))]
    seen = ""
    for path in paths:
        page = await browser.get(path)
        assert page.status == 200, path
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        assert "49" not in re.findall(r">\s*(49)\s*<", page.text), path
        # What turns the direction of writing must not reach beyond its own element.
        for before in re.findall(r"<(\w+)[^>]*>[^<]*\u202e", page.text):
            assert before in ("bdi", "td", "th", "li", "dd", "h1", "title", "p"), (path, before)
        seen += page.text
    assert seen.count("&lt;script&gt;alert(1)") >= 3


async def test_d_12_hostile_names_come_back_as_they_were_in_json(api: ApiClient) -> None:
    for name in HOSTILE:
        made = await api.call("POST", "/api/v1/enrollment-links", {"label": name})
        assert made.headers["Content-Type"].startswith("application/json")
    listed = (await api.call("GET", "/api/v1/enrollment-links")).json["items"]
    assert {link["label"] for link in listed} >= set(HOSTILE)
