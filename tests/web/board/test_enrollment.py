"""The page where links are made, read and revoked."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from appliance.config import Config
from appliance.errors import Busy
from appliance.services.clock import now_ms
from appliance.store import events
from appliance.store.database import Database
from appliance.store.links import reference
from tests.web.board.reading import Reading
from tests.web.browser import Browser


@pytest.fixture
def config(config: Config) -> Config:
    """A server at which devices can enroll."""
    return replace(config, enroll=replace(config.enroll, lab_topic="com.apple.mgmt.External.lab"))


async def test_a_link_is_made_shown_with_its_code_and_revoked(browser: Browser) -> None:
    await browser.sign_up()

    made = await browser.submit(
        "/enrollment", {"label": "<b>Front desk</b>", "uses": "2", "expires_in": "1d"}
    )
    assert made.status == 303
    shown = (await browser.get(made.location)).text

    assert "&lt;b&gt;Front desk&lt;/b&gt;" in shown
    assert "0 of 2 used" in shown
    assert "<svg" in shown
    code = re.search(r'name="code" value="([^"]+)"', shown)
    assert code is not None
    assert f'value="https://mdm.example.com:8443/e/{code[1]}"' in shown
    assert code[1] not in made.location, "an address is kept by browsers and proxies"
    assert made.location in (await browser.get("/enrollment")).text

    await browser.submit("/enrollment/revoke", {"code": code[1]})

    after = await browser.get("/enrollment")
    assert "No link is open." in after.text
    assert "Revoked" in after.text
    assert "取り消し済み" in (await browser.get("/enrollment?lang=ja")).text
    assert f"/e/{code[1]}" not in (await browser.get(made.location)).text


async def test_a_link_is_found_by_its_code_too(browser: Browser) -> None:
    await browser.sign_up()
    link = await browser.parts.services.enrolling.create_link(label="By code")

    assert "By code" in (await browser.get(f"/enrollment/{link.code}")).text
    assert "By code" in (await browser.get(f"/enrollment/{link.code.lower()}")).text
    assert (await browser.get("/enrollment/NONE", Accept="text/html")).status == 404


async def test_what_stopped_a_device_stands_with_its_cause_and_what_to_do(
    browser: Browser,
) -> None:
    await browser.sign_up()
    link = await browser.parts.services.enrolling.create_link(label="Front desk")
    with closing(sqlite3.connect(browser.parts.directory.database)) as db, db:
        for reason in ("the challenge was used before",) * 2 + ("a new reason",):
            data = {"reason": reason, "profile": "0123"}
            events.add(db, "certificate.refused", now_ms(), link=reference(link.code), data=data)
    await browser.submit("/enrollment/revoke", {"code": link.code})
    await browser.get(f"/e/{link.code}")

    shown = Reading((await browser.get(f"/enrollment/{reference(link.code)}")).text).text
    assert "each is good for one device, once. (2 times)" in shown
    assert "a new reason" in shown
    assert "Download the profile again" in shown
    assert "Somebody opened the link after it was revoked." in shown
    japanese = (await browser.get(f"/enrollment/{reference(link.code)}?lang=ja")).text
    assert "使用済みでした" in japanese


async def test_the_poster_speaks_both_languages(browser: Browser) -> None:
    await browser.sign_up()
    link = await browser.parts.services.enrolling.create_link(label="Front desk")
    for language in ("en", "ja"):
        shown = (await browser.get(f"/enrollment/{reference(link.code)}?lang={language}")).text
        poster = shown.partition('<div class="poster">')[2]
        assert '<ol lang="en">' in poster
        assert '<ol lang="ja">' in poster
        assert "Open the Camera" in poster
        assert "カメラを開き" in poster


async def test_only_who_has_signed_in_sees_a_link(browser: Browser) -> None:
    link = await browser.parts.services.enrolling.create_link(label="Front desk")
    await browser.parts.services.accounts.add_user("Aki", "correct horse battery")
    assert (await browser.get(f"/enrollment/{reference(link.code)}")).status == 303


async def test_a_number_out_of_range_makes_no_link(browser: Browser) -> None:
    await browser.sign_up()

    refused = await browser.submit("/enrollment", {"label": "", "uses": "0", "expires_in": "1d"})

    assert refused.status == 422
    assert 'role="alert"' in refused.text
    assert "No link is open." in refused.text


async def test_a_form_of_another_site_makes_no_link(browser: Browser) -> None:
    await browser.sign_up()

    refused = await browser.submit(
        "/enrollment", {"csrf_token": "0" * 64, "label": "x", "uses": "1", "expires_in": "1d"}
    )

    assert refused.status == 403
    assert "No link is open." in (await browser.get("/enrollment")).text


async def test_a_device_that_got_no_certificate_stays_on_the_page_of_its_link(
    browser: Browser,
) -> None:
    """Its profile is installed: it is not told to be one that nobody installed."""
    await browser.sign_up()
    link = await browser.parts.services.enrolling.create_link(uses=3)
    hour = 3_600_000
    with closing(sqlite3.connect(browser.parts.directory.database)) as db, db:
        for kind, profile, ago in (
            ("link.profile_fetched", "00aa", 3 * hour),
            ("certificate.refused", "00aa", 2 * hour),
            ("link.profile_fetched", "00bb", hour // 60),
        ):
            data = {"profile": profile, "reason": "the challenge has expired"}
            events.add(db, kind, now_ms() - ago, link=reference(link.code), data=data)

    shown = Reading((await browser.get(f"/enrollment/{reference(link.code)}")).text).text
    assert "No certificate" in shown
    assert "the device has deleted it" not in shown


@pytest.mark.parametrize(
    ("label", "uses", "field"), [("Lab", "0", "uses"), ("x" * 201, "5", "label")]
)
async def test_what_was_typed_stays_when_it_is_wrong(
    browser: Browser, label: str, uses: str, field: str
) -> None:
    await browser.sign_up()
    form = {"label": label, "uses": uses, "expires_in": "30d"}
    shown = await browser.submit("/enrollment", form)

    assert shown.status == 422
    assert f'value="{label}"' in shown.text
    assert f'value="{uses}"' in shown.text
    assert '<option value="30d" selected>' in shown.text
    assert "A link is for 1 to 100000 devices" in shown.text
    (wrong,) = re.findall(r'<input id="(\w+)"[^>]* aria-invalid', shown.text)
    assert wrong == field


async def test_a_busy_store_is_no_fault_of_the_form(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_up()

    async def busy(*_: object) -> None:
        raise Busy("the store cannot write now: database is locked")

    monkeypatch.setattr(Database, "write", busy)
    form = {"label": "Lab", "uses": "5", "expires_in": "1d"}
    shown = await browser.submit("/enrollment", form)

    assert (shown.status, "Retry-After" in shown.headers) == (503, True)
    assert "cannot store anything now" in shown.text
    assert "A link is for" not in shown.text
    assert 'value="Lab"' in shown.text
    assert "aria-invalid" not in shown.text
