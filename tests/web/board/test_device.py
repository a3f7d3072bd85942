"""A device's page: what it says, what was asked, and that nobody can speak through it."""

from __future__ import annotations

import json
import plistlib
import re
from dataclasses import replace

import pytest

from appliance.store import commands, devices, events
from tests.web.api_client import NOW

from .conftest import Office

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("what", "request_type"),
    [
        ("information", "DeviceInformation"),
        ("security", "SecurityInfo"),
        ("profiles", "ProfileList"),
        ("applications", "InstalledApplicationList"),
        ("certificates", "CertificateList"),
        ("updates", "AvailableOSUpdates"),
    ],
)
async def test_one_click_asks(office: Office, what: str, request_type: str) -> None:
    answer = await office.browser.submit(f"/devices/one/ask/{what}", {})
    ((queued, status, uuid),) = office.commands()
    assert (queued, status) == (request_type, "queued")
    assert answer.location == f"/devices/one#command-{uuid}"
    assert f'id="command-{uuid}"' in await office.open("/devices/one")


async def test_refreshing_asks_for_what_the_platform_has(office: Office) -> None:
    office.api.enroll("phone", platform="iPhone")
    for name in ("one", "phone"):
        assert (await office.browser.submit(f"/devices/{name}/ask/information", {})).status == 303
    with office.api.database() as db:
        mac, phone = (
            set(plistlib.loads(payload)["Command"]["Queries"])
            for (payload,) in db.execute("SELECT body FROM command_payloads ORDER BY command_id")
        )
    assert "IMEI" in phone - mac
    assert "HostName" in mac - phone
    assert "DevicePropertiesAttestation" not in mac | phone


async def test_only_the_known_questions_are_asked(office: Office) -> None:
    assert (await office.browser.submit("/devices/one/ask/erase", {})).status == 404
    assert office.commands() == []


async def test_a_ping_without_a_push_certificate_says_so(office: Office) -> None:
    answer = await office.browser.submit("/devices/one/ping", {})
    assert answer.location == "/devices/one?ping=failed"
    page = await office.open(answer.location)
    assert "The push did not get through." in page
    assert "There is no push certificate" in page


async def test_the_four_dots_are_words_too(office: Office) -> None:
    await office.browser.submit("/devices/one/ask/security", {})
    page = await office.open("/devices/one")
    (dots,) = re.findall(r'<ol class="stages".*?</ol>', page, re.DOTALL)
    marks = re.findall(r'<li class="(\w+)">', dots)
    assert marks == ["done", "next", "open", "open"]
    words = re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", dots, flags=re.DOTALL)).split()
    assert " ".join(words).startswith("queued done")
    assert "accepted by Apple waiting" in " ".join(words)
    assert " ".join(words).endswith("connected not yet answered not yet")


async def test_an_answered_command_has_reached_every_dot(office: Office) -> None:
    await office.browser.submit("/devices/one/ask/profiles", {})
    ((_, _, uuid),) = office.commands()
    office.api.answer_command("one", uuid, plistlib.dumps({"ProfileList": []}))
    page = await office.open("/devices/one")
    (dots,) = re.findall(r'<ol class="stages".*?</ol>', page, re.DOTALL)
    # It came by itself, so no push was needed.
    assert re.findall(r'<li class="(\w+)">', dots) == ["done", "skipped", "done", "done"]
    assert "Why is it silent?" not in page


async def test_lists_show_what_the_device_answered(office: Office) -> None:
    await office.browser.submit("/devices/one/ask/profiles", {})
    ((_, _, uuid),) = office.commands()
    profiles = [
        {"PayloadIdentifier": "com.example.wifi", "PayloadDisplayName": "Wi-Fi HQ"},
        {"PayloadIdentifier": 7, "PayloadDisplayName": ["no"]},
        "no dictionary",
    ]
    office.api.answer_command("one", uuid, plistlib.dumps({"ProfileList": profiles}))
    page = await office.open("/devices/one")
    assert "Wi-Fi HQ" in page
    assert "/devices/one/send/RemoveProfile?%2FIdentifier=com.example.wifi" in page
    form = await office.open("/devices/one/send/RemoveProfile?%2FIdentifier=com.example.wifi")
    assert 'value="com.example.wifi"' in form


@pytest.mark.parametrize(
    ("what", "entries", "shown"),
    [
        (
            "applications",
            [{"Name": "Pages", "Identifier": "com.apple.Pages", "ShortVersion": "15.1"}],
            ("Pages", "com.apple.Pages", "15.1"),
        ),
        ("applications", [{"Identifier": "com.example.nameless"}], ("com.example.nameless",)),
        ("certificates", [{"CommonName": "Office CA"}, {"CommonName": 5}], ("Office CA",)),
        (
            "updates",
            [{"HumanReadableName": "macOS 27.1", "ProductKey": "KEY", "Version": "27.1"}],
            ("macOS 27.1", "KEY"),
        ),
    ],
)
async def test_every_list_has_its_place(
    office: Office, what: str, entries: list[object], shown: tuple[str, ...]
) -> None:
    await office.browser.submit(f"/devices/one/ask/{what}", {})
    ((request_type, _, uuid),) = office.commands()
    office.api.answer_command("one", uuid, plistlib.dumps({request_type: entries}))
    page = await office.open("/devices/one")
    side = page.partition('class="side"')[2]
    for words in (*shown, f"/commands/{uuid}"):
        assert words in side, words


async def test_facts_are_in_words(office: Office) -> None:
    security = {
        "PasscodePresent": True, "PasscodeCompliant": False, "FDE_Enabled": True,
        "FirewallSettings": {"FirewallEnabled": False}, "SecureBoot": {"SecureBootLevel": "medium"},
    }  # fmt: skip
    information = {"BatteryLevel": 0.42, "DeviceCapacity": 500.0, "AvailableDeviceCapacity": 100.0}
    with office.api.database() as db, db:
        db.execute(
            "UPDATE devices SET security = ?, information = ?",
            (json.dumps(security), json.dumps(information)),
        )
    page = await office.open("/devices/one")
    for words in ("weaker than required", "FileVault", "42%", "400 / 500 GB", "Reduced"):
        assert words in page, words
    (reduced,) = re.findall(r"<dt>Secure Boot</dt>.*?</dd>", page, re.DOTALL)
    assert "warn" in reduced
    assert "設定済み(要件より弱い)" in await office.open("/devices/one?lang=ja")


@pytest.mark.parametrize(
    "answer",
    [
        {"BatteryLevel": "full", "DeviceCapacity": -1, "AvailableDeviceCapacity": 1e308},
        {"BatteryLevel": True, "HostName": {"a": 1}, "DeviceCapacity": 10},
        {"HostName": SCRIPT, "ModelNumber": SCRIPT, "WiFiMAC": "x" * 100_000},
    ],
)
async def test_hostile_answers_are_only_text(office: Office, answer: object) -> None:
    with office.api.database() as db, db:
        text = json.dumps(answer)
        db.execute("UPDATE devices SET information = ?, security = ?", (text, text))
        db.execute("UPDATE devices SET name = ?, model = ?", (SCRIPT, "\u202e" + SCRIPT))
    page = await office.open("/devices/one")
    assert SCRIPT not in page
    assert len(page) < 60_000


async def test_a_user_channel_has_a_page(office: Office) -> None:
    with office.api.database() as db, db:
        db.execute(
            "INSERT INTO enrollments (id, device_id, type, state, last_seen_at) "
            "VALUES ('one:aki', 'one', 'user', 'enrolled', 1)"
        )
    assert "/devices/one%3Aaki" in await office.open("/devices/one")
    page = await office.open("/devices/one%3Aaki")
    assert "User channel" in page
    assert (await office.send("one%3Aaki", "ProfileList")).status == 303
    assert "is for the device channel only" in await office.open("/devices/one%3Aaki/send")


async def test_a_device_not_heard_of_is_silent_on_its_page_too(office: Office) -> None:
    assert "Answering</span>" in await office.open("/devices/one")
    with office.api.database() as db, db:
        db.execute("UPDATE enrollments SET last_seen_at = 1 WHERE id = 'one'")
    page = await office.open("/devices/one")
    assert "Silent</span>" in page and "Answering</span>" not in page


async def test_an_unknown_device_is_not_found(office: Office) -> None:
    assert (await office.browser.get("/devices/nobody")).status == 404


async def test_strangers_are_led_to_sign_in(office: Office) -> None:
    office.browser.cookie = None
    for path in ("/devices/one", "/devices/one/send", "/commands/x"):
        answer = await office.browser.get(path)
        assert (answer.status, answer.location.partition("?")[0]) == (303, "/login")


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "larger than the server takes, again and again"), ("ja", "超える応答を繰り返し")],
)
async def test_an_answer_that_is_too_large_is_told_until_one_is_taken(
    office: Office, language: str, words: str
) -> None:
    await office.browser.submit("/devices/one/ask/profiles", {})
    ((_, _, uuid),) = office.commands()
    with office.api.database() as db, db:
        commands.next_command(db, "one", idle=True, now=NOW - 2000)
        data = {"limit": "limits.result_body_kib", "kib": 4096, "fix": ""}
        events.add(db, events.TOO_LARGE, NOW - 1000, enrollment_id="one", data=data)

    shown = await office.browser.get("/devices/one", **{"Accept-Language": language})
    assert words in shown.text
    assert "limits.result_body_kib = 4096" in shown.text
    record = await office.browser.get("/activity?show=attention", **{"Accept-Language": language})
    assert "limits.result_body_kib" in record.text

    office.api.answer_command("one", uuid, b"<plist/>")
    assert words not in await office.open("/devices/one")


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Proven by Apple"), ("ja", "Appleの証明書で証明済み")]
)
async def test_a_device_that_proved_its_identity_is_shown_so(
    office: Office, language: str, words: str
) -> None:
    async def shown() -> str:
        return (await office.browser.get("/devices/one", **{"Accept-Language": language})).text

    assert words not in await shown()
    with office.api.database() as db, db:
        facts = devices.facts(db, "one")
        assert facts is not None
        devices.put_facts(db, "one", replace(facts, is_identity_proven=True))
    assert words in await shown()


@pytest.mark.parametrize(
    ("language", "word", "cause"),
    [("en", "Erased", "It was erased"), ("ja", "消去済み", "デバイスは消去されました")],
)
async def test_an_erased_device_is_called_so_wherever_its_state_is_shown(
    office: Office, language: str, word: str, cause: str
) -> None:
    await office.browser.submit("/devices/one/ask/profiles", {})
    with office.api.database() as db, db:
        facts = devices.facts(db, "one")
        assert facts is not None
        devices.put_facts(db, "one", replace(facts, is_erased=True))
    for path in ("/devices/one", "/devices", "/devices?state=erased"):
        page = (await office.browser.get(path, **{"Accept-Language": language})).text
        assert f"<span>{word}</span>" in page, path
    page = (await office.browser.get("/devices/one", **{"Accept-Language": language})).text
    assert cause in page
    assert "one&#39;s Mac" not in await office.open("/devices?state=enrolled")
    assert "No device is managed now." in await office.open("/")
