"""The lists of the board: found, filtered, in pages."""

from __future__ import annotations

import re

import pytest

from tests.web.api_client import ApiClient
from tests.web.browser import Browser

from .reading import Reading, rename, seen


@pytest.fixture
async def aki(browser: Browser, api: ApiClient) -> Browser:
    """Somebody who signed in, with three devices: one silent, one blocked."""
    await browser.sign_up()
    for name, platform in (("A", "Mac"), ("B", "iPhone"), ("C", "Mac")):
        api.enroll(name, platform=platform)
    with api.database() as db, db:
        seen(db, "A", hours_ago=1)
        seen(db, "B", hours_ago=100)
        seen(db, "C", hours_ago=1)
        rename(db, "A", "100%_lab")
    await browser.parts.services.devices.block("C")
    return browser


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "ABC"),
        ("q=serial-a", "A"),
        ("q=%25_", "A"),
        ("q=iphone", "B"),
        ("q=B%27s", "B"),
        ("q=MacBook", "AC"),
        ("state=silent", "B"),
        ("state=enrolled", "A"),
        ("state=blocked", "C"),
        ("state=waiting", ""),
        ("state=unreachable", ""),
        ("state=nonsense", "ABC"),
        ("platform=mac", "AC"),
        ("platform=iphone", "B"),
        ("platform=tv", ""),
        ("platform=mac&state=blocked&q=serial", "C"),
        ("q=" + "x" * 5000, ""),
        ("cursor=gone", ""),
    ],
)
async def test_devices_are_found(aki: Browser, query: str, found: str) -> None:
    page = await aki.get(f"/devices?{query}")
    assert page.status == 200
    assert sorted(Reading(page.text).device_names()) == list(found)


async def test_pages_hold_every_device_once_in_order_of_names(aki: Browser, api: ApiClient) -> None:
    for number in range(120):
        api.enroll(f"N{number:03}")
    path, ids, pages = "/devices?q=N&platform=mac", list[str](), 0
    while path:
        reading = Reading((await aki.get(path)).text)
        ids += reading.device_names()
        pages += 1
        following = [tag[1]["href"] for tag in reading.tags if tag[1].get("rel") == "next"]
        path = following[0] or "" if following else ""
        assert pages < 9
    assert pages == 3
    assert ids == [f"N{number:03}" for number in range(120)]


async def test_what_was_typed_stays_in_the_form_and_in_the_other_language(aki: Browser) -> None:
    text = (await aki.get('/devices?q="><b>&state=silent')).text
    assert 'value="&#34;&gt;&lt;b&gt;"' in text
    assert "q=%22%3E%3Cb%3E&amp;state=silent&amp;lang=ja" in text


async def test_activity_is_in_pages_and_in_views(aki: Browser) -> None:
    devices = aki.parts.services.devices
    for _ in range(40):
        await devices.unblock("C")
        await devices.block("C")
    first = Reading((await aki.get("/activity?show=security")).text)
    assert "was blocked" in first.text
    following = [tag[1]["href"] or "" for tag in first.tags if tag[1].get("rel") == "next"]
    second = Reading((await aki.get(following[0])).text)
    assert len(first.device_names()) + len(second.device_names()) == 81
    assert "was blocked" not in Reading((await aki.get("/activity?show=commands")).text).text
    assert (await aki.get("/activity?cursor=nonsense", Accept="text/html")).status == 422


async def test_what_has_expired_waits_no_longer(aki: Browser, api: ApiClient) -> None:
    body = {"targets": ["A"], "request_type": "ProfileList", "push": False}
    for _ in range(2):
        await api.call("POST", "/api/v1/commands", body)
    with api.database() as db, db:
        db.execute("UPDATE commands SET expires_at = 1 WHERE id = 1")
    assert re.findall(r'data-label="Queue">(\d+)<', (await aki.get("/devices?q=100")).text) == ["1"]
    with api.database() as db, db:
        db.execute("UPDATE commands SET expires_at = 1")
    assert Reading((await aki.get("/devices?state=waiting")).text).device_names() == []
