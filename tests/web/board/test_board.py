"""The board: what its pages say, that they are safe, and that nothing leads astray."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.simulator.cms import pem
from appliance.simulator.keys import key_pem
from appliance.web.csrf import masked, matches
from tests.device.server import lab_push_certificate
from tests.store.test_integrity import damage
from tests.web.api_client import TOPIC, ApiClient, enroll
from tests.web.browser import Browser, Shown
from tests.web.test_api_resources import push_certificate

from .reading import PAGES, Reading, rename, seen

HTML = {"Accept": "text/html"}


@pytest.fixture
async def aki(browser: Browser) -> Browser:
    """Somebody who signed in."""
    await browser.sign_up()
    return browser


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_sees_none_of_it(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).location == "/setup"
    await browser.sign_up()
    browser.cookie = None
    assert (await browser.get(path)).location.startswith("/login")


async def test_an_empty_server_says_where_to_begin(aki: Browser) -> None:
    page = await aki.get("/")
    assert "No devices yet" in page.text
    assert "/enrollment" in Reading(page.text).links("/")
    assert "There is no push certificate" in page.text


async def test_who_has_not_spoken_yet_does_not_count_as_answering(
    aki: Browser, api: ApiClient
) -> None:
    api.enroll("A")
    assert "Your device has enrolled, and said nothing since." in (await aki.get("/")).text
    api.enroll("B")
    body = {"targets": ["B"], "request_type": "ProfileList", "push": False}
    queued = (await api.call("POST", "/api/v1/commands", body)).json["commands"][0]["id"]
    assert "0 of 2 devices answer; the others" in (await aki.get("/")).text
    api.answer_command("B", queued, b"<plist/>")
    assert "1 of 2 devices answer; the others" in (await aki.get("/")).text
    assert "2台中1台が応答しています。残りは" in (await aki.get("/?lang=ja")).text


async def test_the_verdict_counts_and_names_who_is_silent(aki: Browser, api: ApiClient) -> None:
    for name in ("A", "B", "C"):
        api.enroll(name)
    with api.database() as db, db:
        for name in ("A", "B", "C"):
            seen(db, name, hours_ago=1)
    assert "All 3 devices answer." in (await aki.get("/")).text
    with api.database() as db, db:
        seen(db, "B", hours_ago=72)
    text = (await aki.get("/")).text
    assert "2 of 3 devices answer." in text
    assert "3 days ago" in text
    with api.database() as db, db:
        seen(db, "A", hours_ago=72)
    assert "1 of 3 devices answer." in (await aki.get("/")).text
    assert "B" in Reading(text).device_names()


async def test_e_10_a_damaged_store_is_the_first_that_needs_a_person(aki: Browser) -> None:
    damage(aki.parts.directory.database)
    await aki.parts.services.integrity.check()
    page = (await aki.get("/")).text
    assert "The database is damaged" in page
    assert "restore a backup" in page
    assert "データベースが破損しています" in (await aki.get("/?lang=ja")).text
    ready = await aki.get("/readyz")
    assert (ready.status, "the database is damaged" in ready.text) == (503, True)


async def test_what_needs_a_person_goes_away_when_it_is_done(aki: Browser, api: ApiClient) -> None:
    api.enroll("A")
    with api.database() as db, db:
        seen(db, "A", hours_ago=1)
        at = int(time.time() * 1000)
        for number, (uuid, status) in enumerate((("1", "error"), ("2", "acknowledged"))):
            if number:
                assert "command was refused" in (await aki.get("/")).text
            db.execute(
                """
                INSERT INTO commands (uuid, enrollment_id, request_type, status, queued_at,
                                      finished_at)
                VALUES (?, 'A', 'ProfileList', ?, ?, ?)
                """,
                (uuid, status, at, at),
            )
            db.commit()
    assert "command was refused" not in (await aki.get("/")).text


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("path", [*PAGES, "/nowhere"])
async def test_no_page_runs_anything_inline(aki: Browser, path: str, language: str) -> None:
    page = await aki.get(f"{path}?lang={language}", **HTML)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    reading = Reading(page.text)
    for tag, attributes in reading.tags:
        assert tag != "style"
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
    assert ("html", {"lang": language}) in reading.tags
    assert [tag for tag, _ in reading.tags].count("h1") == 1


async def test_a_language_once_chosen_stays(aki: Browser) -> None:
    chosen = await aki.get("/devices?lang=ja")
    assert "language=ja" in chosen.headers["Set-Cookie"]
    kept = await aki.get("/devices", Cookie=f"__Host-appliance={aki.cookie}; language=ja")
    assert "デバイス" in kept.text


async def test_hostile_names_stay_text(aki: Browser, api: ApiClient) -> None:
    names = {"A": "<script>alert(1)</script>", "B": "\u202egnp.exe", "C": "x" * 10_000}
    for device, name in names.items():
        api.enroll(device)
        with api.database() as db, db:
            rename(db, device, name)
            seen(db, device, hours_ago=99)
    for path in PAGES:
        text = (await aki.get(path)).text
        assert "<script>alert" not in text, path
        assert "x" * 200 not in text, path
        assert "\u202e" not in text.replace("<bdi>\u202egnp.exe</bdi>", ""), path


async def test_every_link_of_every_page_leads_somewhere(aki: Browser, api: ApiClient) -> None:
    api.enroll("A/é ?")
    waiting, done = set(PAGES), set[str]()
    while waiting:
        path = waiting.pop()
        done.add(path)
        if path in ("/trust.mobileconfig", "/root.pem"):  # files
            async with aki.client.get(path) as answer:
                assert answer.status == 200, path
            continue
        page = await aki.get(path, **HTML)
        assert page.status == 200, path
        if not path.startswith("/e"):
            links = Reading(page.text).links(path)
            assert all(link.startswith("/") for link in links), path
            waiting |= {link for link in links if "lang=" not in link} - done
        assert len(done) < 300, "links without end"
    assert len(done) > 15


@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_person_who_is_lost_gets_a_page(browser: Browser, signed_in: bool) -> None:
    if signed_in:
        await browser.sign_up()
    page = await browser.get("/nowhere", **HTML)
    assert page.status == 404
    assert "There is nothing here" in page.text
    assert ("/logout" in page.text) == signed_in


async def test_a_program_keeps_its_problem_document(aki: Browser) -> None:
    page = await aki.get("/api/v1/nowhere", **HTML)
    assert page.status == 404
    assert page.headers["Content-Type"].startswith("application/problem+json")


async def test_a_fault_shows_a_number_and_never_its_cause(
    aki: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(aki.parts.services.overview, "home", fail)
    page = await aki.get("/", **HTML)
    assert page.status == 500
    assert "the secret cause" not in page.text
    numbers = [record.request_id for record in caplog.records if hasattr(record, "request_id")]
    assert numbers
    assert str(numbers[-1]) in page.text


async def test_a_push_certificate_is_given_by_the_form(aki: Browser) -> None:
    identity = lab_push_certificate(TOPIC)
    form = {
        "certificate": pem(identity.certificate).decode(),
        "key": key_pem(identity.key).decode(),
        "account": "mdm@example.jp",
    }
    page = await _upload(aki, form)
    assert (page.status, page.location) == (303, "/certificates?imported=#push")
    assert TOPIC in (await aki.get("/certificates")).text
    assert "mdm@example.jp" in (await aki.get("/certificates")).text


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
async def test_der_is_taken_where_the_key_has_a_file_of_its_own(
    aki: Browser, encoding: Encoding
) -> None:
    private = rsa.generate_private_key(65537, 2048)
    certificate = push_certificate(private, TOPIC).public_bytes(Encoding.DER)
    key = private.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    assert (await _upload(aki, {"certificate": certificate, "key": key})).status == 303
    assert TOPIC in (await aki.get("/certificates")).text


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\n!"])
async def test_a_file_that_is_none_is_refused_in_words(aki: Browser, content: str) -> None:
    page = await _upload(aki, {"certificate": content})
    assert page.status == 422
    assert 'role="alert"' in page.text


async def test_d05_an_upload_needs_the_token_of_the_page(aki: Browser) -> None:
    assert (await _upload(aki, {"certificate": "x", "csrf_token": "0" * 64})).status == 403
    assert (await _upload(aki, {"certificate": "x" * 300_000})).status == 413


async def _upload(browser: Browser, form: Mapping[str, str | bytes]) -> Shown:
    session = await browser.session()
    assert session is not None
    data = aiohttp.FormData()
    for name, value in {"csrf_token": masked(session.csrf_token), **form}.items():
        data.add_field(name, value, filename=name if name in ("certificate", "key") else None)
    body = data()
    headers = {
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": body.headers["Content-Type"],
        "Accept": "text/html",
    }
    content = await body.as_bytes()  # of a known length, as a browser sends it
    return await browser.request("POST", "/certificates", data=content, headers=headers)


def test_a_masked_token_is_new_each_time_and_still_the_token() -> None:
    token, other = "ab" * 32, "cd" * 32
    assert masked(token) != masked(token)
    assert token not in masked(token)
    assert matches(masked(token), token)
    assert matches(token, token)
    assert not matches(masked(other), token)
    for wrong in ("", "é", "z" * 128, "0" * 128):
        assert not matches(wrong, token)


async def test_pages_stay_light_with_ten_thousand_devices(aki: Browser, api: ApiClient) -> None:
    with api.database() as db, db:
        for number in range(10_000):
            enroll(db, f"device-{number:05}", "Mac")
    for path in (*PAGES, "/devices?q=device-099", "/devices?q=nothing&state=silent&platform=mac"):
        shown = await aki.get(path)
        assert shown.status == 200, path
        assert len(gzip.compress(shown.text.encode())) < 60_000, path
