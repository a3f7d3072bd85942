"""A command's page: everything that was said, but secrets only when somebody asks for them."""

from __future__ import annotations

import plistlib
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from appliance.cli.parameters import parse_parameters
from appliance.web.board import answers

from .conftest import Office
from .html_form import HtmlForm

SECRET = "c2VjcmV0LXNlY3JldA=="
WHY = {"reason": "the <b>user</b> forgot it"}


async def _answered(office: Office, request_type: str, answer: Mapping[str, object]) -> str:
    assert (await office.send("one", request_type)).status == 303
    uuid = office.commands()[-1][2]
    office.api.answer_command("one", uuid, plistlib.dumps({"Status": "Acknowledged", **answer}))
    return uuid


async def test_the_whole_answer_is_readable(office: Office) -> None:
    moment = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).replace(tzinfo=None)
    answer = {"SecurityInfo": {"When": moment, "Deep": [{"Key": b"12345"}], "On": True}}
    uuid = await _answered(office, "SecurityInfo", answer)
    page = await office.open(f"/commands/{uuid}")
    for words in ("2026-01-31 12:00:00 UTC", "5 bytes", "MTIzNDU=", "Deep", "yes"):
        assert words in page, words
    assert f"/api/v1/commands/{uuid}" in page
    assert (await office.browser.get(f"/api/v1/commands/{uuid}")).status == 200


async def test_hostile_answers_are_only_text_and_end(office: Office) -> None:
    script = "<script>alert(1)</script>"
    many = {f"{script}{number}": script * 80 for number in range(2000)}
    uuid = await _answered(office, "SecurityInfo", {"SecurityInfo": many})
    page = await office.open(f"/commands/{uuid}")
    assert script not in page
    assert "The rest is left out here." in page
    assert len(page) < 3_000_000


async def test_a_secret_answer_is_shown_on_the_record_only(office: Office) -> None:
    uuid = await _answered(office, "SecurityInfo", {"UnlockToken": b"secret-secret"})
    page = await office.open(f"/commands/{uuid}")
    assert SECRET not in page
    assert office.events("secret.shown") == []
    shown = await office.browser.submit(f"/commands/{uuid}/secrets", WHY)
    assert SECRET in shown.text
    (event,) = office.events("secret.shown")
    assert (event["id"], event["by"], event["reason"]) == (uuid, "Aki", WHY["reason"])
    assert SECRET not in str(event)
    assert shown.headers["Cache-Control"] == "no-store"


async def test_d_22_the_page_asks_why_and_says_when_it_was_too_often(office: Office) -> None:
    uuid = await _answered(office, "SecurityInfo", {"UnlockToken": b"secret-secret"})
    path = f"/commands/{uuid}/secrets"
    unsaid = await office.browser.submit(path, {"target": "one", "reason": " "})
    assert unsaid.status == 422
    assert "Say why: it is recorded." in unsaid.text
    for _ in range(10):
        assert SECRET in (await office.browser.submit(path, {"target": "one", **WHY})).text
    refused = await office.browser.submit(path, {"target": "one", **WHY})
    assert (refused.status, SECRET in refused.text) == (429, False)
    assert "10 secrets were shown to you within an hour" in refused.text
    assert 'value="the &lt;b&gt;user&lt;/b&gt; forgot it"' in refused.text, "it is typed once"
    assert len(office.events("secret.shown")) == 10
    activity = await office.open("/activity?view=security")
    assert "“the &lt;b&gt;user&lt;/b&gt; forgot it”" in activity


async def test_a_pin_is_shown_on_the_record_only(office: Office) -> None:
    form = {"/PIN": "918273", "reason": "lost", "confirm": "SERIAL-one"}
    assert (await office.send("one", "DeviceLock", **form)).status == 303
    uuid = office.commands()[0][2]
    page = await office.open(f"/commands/{uuid}")
    assert "918273" not in page
    assert "curl" not in page
    shown = await office.browser.submit(f"/commands/{uuid}/secrets", WHY)
    assert "918273" in shown.text
    assert len(office.events("secret.shown")) == 1


async def test_secrets_are_not_shown_to_a_page_of_another_site(office: Office) -> None:
    uuid = await _answered(office, "SecurityInfo", {"UnlockToken": b"secret-secret"})
    answer = await office.browser.submit(f"/commands/{uuid}/secrets", {"csrf_token": "0" * 64})
    assert answer.status == 403
    assert (await office.browser.get(f"/commands/{uuid}/secrets")).status == 405
    assert office.events("secret.shown") == []


async def test_what_was_sent_can_be_copied(office: Office) -> None:
    await office.send("one", "RemoveProfile", **{"/Identifier": "it's & <b>"})
    page = await office.open(f"/commands/{office.commands()[0][2]}")
    assert "appliance command send one RemoveProfile" in page
    assert "https://mdm.example.com:8443/api/v1/commands" in page
    assert "<b>" not in page.split("<main")[1].split("<pre>")[1]


@pytest.mark.parametrize(
    "parameters",
    [
        {"PIN": "123456"},
        {"Queries": ["UDID", "OSVersion"]},
        {"Message": 'it\'s "quoted" & $HOME', "Flag": True, "Number": 3},
        {"FileVaultUnlock": {"Password": "true"}},
    ],
)
def test_the_command_line_says_the_same(parameters: dict[str, object]) -> None:
    words = shlex.split(answers.as_cli("one", "X", parameters))  # type: ignore[arg-type]
    assert words[:5] == ["appliance", "command", "send", "one", "X"]
    assert parse_parameters(tuple(words[6::2]), "X") == parameters


async def test_the_answer_of_a_command_of_any_uuid_can_be_downloaded(office: Office) -> None:
    await _answered(office, "SecurityInfo", {"SecurityInfo": {}})
    with office.api.database() as db, db:
        db.execute("UPDATE commands SET uuid = 'a/b'")
    assert 'href="/api/v1/commands/a%2Fb"' in await office.open("/commands/a%2Fb")
    assert (await office.browser.get("/api/v1/commands/a%2Fb")).status == 200


async def test_a_command_of_any_uuid_can_be_opened_asked_and_undone(office: Office) -> None:
    uuid = "batch/1?#%"
    raw = plistlib.dumps({"Command": {"RequestType": "DeviceLock"}, "CommandUUID": uuid}).decode()
    form = {"how": "plist", "plist": raw, "reason": "lost", "confirm": "SERIAL-one"}
    assert (await office.send("one", "DeviceLock", **form)).status == 303
    address = "/commands/batch%2F1%3F%23%25"
    for page in ("/devices/one", "/activity"):
        assert f'href="{address}"' in await office.open(page)
    page = await office.open(address)
    secrets, hold = HtmlForm(page, "reveal").action, HtmlForm(page, "hold").action
    assert (await office.browser.submit(secrets, WHY)).status == 200
    assert (await office.browser.submit(hold, {})).status == 303
    assert office.commands() == [("DeviceLock", "cancelled", uuid)]


async def test_an_unknown_command_is_not_found(office: Office) -> None:
    assert (await office.browser.get("/commands/none")).status == 404
