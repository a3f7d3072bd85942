"""Sending commands by forms, without a script: safe ones, wrong ones, dangerous ones."""

from __future__ import annotations

import plistlib

import aiohttp
import pytest

from appliance.errors import Busy
from appliance.mdm.catalogue import catalogue
from appliance.services.command_orders import CommandOrder, Queued

from .conftest import Office
from .html_form import HtmlForm

ERASE = {"/PIN": "918273", "reason": "lost on the train", "confirm": "SERIAL-one"}


async def test_every_command_is_listed_and_can_be_searched(office: Office) -> None:
    page = await office.open("/devices/one/send")
    for request_type in catalogue():
        assert request_type in page
    found = await office.open("/devices/one/send?q=erase")
    assert "EraseDevice" in found and "ProfileList" not in found


async def test_what_the_device_cannot_do_has_a_reason_and_no_link(office: Office) -> None:
    page = await office.open("/devices/one/send?q=LostMode")
    assert "/send/EnableLostMode" not in page
    assert "does not exist on macOS, only on iOS" in page
    japanese = await office.open("/devices/one/send?q=LostMode&lang=ja")
    assert "macOSでは使用できません(iOSのみ)" in japanese


async def test_a_form_is_sent_and_leads_to_its_command(office: Office) -> None:
    answer = await office.send("one", "RemoveApplication", **{"/Identifier": "com.example.app"})
    ((request_type, status, uuid),) = office.commands()
    assert (request_type, status) == ("RemoveApplication", "queued")
    assert (answer.status, answer.location) == (303, f"/devices/one#command-{uuid}")
    with office.api.database() as db:
        (payload,) = db.execute("SELECT body FROM command_payloads").fetchone()
    assert plistlib.loads(payload)["Command"]["Identifier"] == "com.example.app"


async def test_a_wrong_value_is_told_at_its_field_and_the_others_stay(office: Office) -> None:
    typed = {"/Message": "come <back>", "/PhoneNumber": "110", "/PIN": "12"}
    answer = await office.send("one", "DeviceLock", reason="x", confirm="SERIAL-one", **typed)
    assert answer.status == 422
    form = HtmlForm(answer.text, "send")
    assert {name: form.controls[name].values[0] for name in typed} == typed
    field = answer.text.split('id="about:/PIN"')[1]
    assert "6 characters" in field[:600]
    assert "<back>" not in answer.text
    assert office.commands() == []


@pytest.mark.parametrize("how", ["form", "plist"])
async def test_what_was_typed_stays_while_the_store_is_busy(
    office: Office, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def enqueue(order: CommandOrder) -> list[Queued]:
        raise Busy("the store cannot write now: disk full", fix="try again in a few seconds")

    monkeypatch.setattr(office.api.parts.services.commands, "enqueue", enqueue)
    typed = {"/Identifier": "com.typed.by.hand", "plist": "<plist/>"}
    answer = await office.send("one", "RemoveProfile", how=how, **typed)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    form = HtmlForm(answer.text, "send")
    assert {name: form.controls[name].values[0] for name in typed} == typed
    assert "It was not sent." in answer.text.partition('class="fields"')[0], "of no field"
    assert "try again in a few seconds" in answer.text


async def test_a_missing_value_is_told_in_the_readers_language(office: Office) -> None:
    answer = await office.browser.submit(
        "/devices/one/send/RemoveProfile", {"how": "form"}, **{"Accept-Language": "ja"}
    )
    assert answer.status == 422
    assert "必須項目です。" in answer.text


async def test_a_file_is_uploaded(office: Office) -> None:
    session = await office.browser.session()
    assert session is not None
    form = aiohttp.FormData()
    form.add_field("csrf_token", session.csrf_token)
    form.add_field("how", "form")
    form.add_field("file:/ProvisioningProfile", b"<plist/>", filename="a.mobileprovision")
    answer = await office.browser.request(
        "POST",
        "/devices/one/send/InstallProvisioningProfile",
        headers={"Sec-Fetch-Site": "same-origin"},
        data=form,
    )
    assert answer.status == 303
    with office.api.database() as db:
        (payload,) = db.execute("SELECT body FROM command_payloads").fetchone()
    assert plistlib.loads(payload)["Command"]["ProvisioningProfile"] == b"<plist/>"


async def test_entries_are_added_and_removed_without_a_script(office: Office) -> None:
    path = "/devices/one/send/Settings"
    first = {"add": "/Settings", "variant:/Settings": "DeviceName", "count:/Settings": "0"}
    form = HtmlForm((await office.browser.submit(path, first)).text, "send")
    form.controls["/Settings/0/DeviceName"].values = ["reception"]
    filled = {name: values[-1] for name, values in form.values().items() if name != "csrf_token"}
    second = {**filled, "add": "/Settings", "variant:/Settings": "Bluetooth"}
    form = HtmlForm((await office.browser.submit(path, second)).text, "send")
    assert form.controls["/Settings/0/DeviceName"].values == ["reception"]
    assert form.controls["/Settings/1/Item"].values == ["Bluetooth"]
    filled = {name: values[-1] for name, values in form.values().items() if name != "csrf_token"}
    shown = await office.browser.submit(path, {**filled, "remove": "/Settings/1"})
    assert "/Settings/1/Item" not in HtmlForm(shown.text, "send").controls
    assert office.commands() == []


async def test_a_property_list_of_ones_own_is_sent_as_it_is(office: Office) -> None:
    raw = plistlib.dumps({"Command": {"RequestType": "Custom"}, "CommandUUID": "u-1"}).decode()
    fields = {"how": "plist", "plist": raw}
    answer = await office.browser.submit("/devices/one/send/ProfileList", fields)
    assert answer.status == 303
    assert office.commands() == [("Custom", "queued", "u-1")]
    wrong = {"how": "plist", "plist": "<plist>"}
    answer = await office.browser.submit("/devices/one/send/ProfileList", wrong)
    assert answer.status == 400
    assert HtmlForm(answer.text, "send").controls["plist"].values == ["<plist>"]


async def test_a_dangerous_property_list_needs_the_serial_number(office: Office) -> None:
    raw = plistlib.dumps({"Command": {"RequestType": "EraseDevice"}, "CommandUUID": "u-1"}).decode()
    fields = {"how": "plist", "plist": raw}
    answer = await office.browser.submit("/devices/one/send/ProfileList", fields)
    assert answer.status == 422
    form = HtmlForm(answer.text, "send")
    assert "confirm" in form.controls, "now the form asks for it"
    assert {button for button in form.buttons if button[0] == "how"} == {("how", "plist")}
    assert "Send ProfileList" not in answer.text
    assert office.commands() == []


@pytest.mark.parametrize("serial", ["", "SERIAL-two", "serial-one"])
async def test_a_wrong_serial_number_sends_nothing(office: Office, serial: str) -> None:
    answer = await office.send("one", "EraseDevice", **{**ERASE, "confirm": serial})
    assert answer.status == 422
    assert "This is not its serial number" in answer.text
    form = HtmlForm(answer.text, "send")
    assert form.controls["reason"].values == ["lost on the train"]
    assert office.commands() == []
    assert office.events("command.ordered") == []


async def test_a_dangerous_command_wants_a_reason(office: Office) -> None:
    answer = await office.send("one", "EraseDevice", **{**ERASE, "reason": "  "})
    assert answer.status == 422
    assert "Say why" in answer.text
    assert office.commands() == []


async def test_leaving_out_the_confirmation_does_not_pass_it(office: Office) -> None:
    answer = await office.send("one", "EraseDevice", **{"/PIN": "918273"})
    assert answer.status == 422
    assert office.commands() == []


async def test_a_dangerous_command_can_be_undone(office: Office) -> None:
    answer = await office.send("one", "EraseDevice", **ERASE)
    ((request_type, status, uuid),) = office.commands()
    assert (answer.status, request_type, status) == (303, "EraseDevice", "queued")
    (ordered,) = office.events("command.ordered")
    assert (ordered["reason"], ordered["by"]) == ("lost on the train", "Aki")

    page = await office.open("/devices/one")
    form = HtmlForm(page, "hold")
    assert form.action == f"/commands/{uuid}/undo"
    assert "918273" not in page
    undone = await office.browser.submit(form.action, {})
    assert (undone.status, undone.location) == (303, f"/devices/one#command-{uuid}")
    assert office.commands() == [("EraseDevice", "cancelled", uuid)]
    page = await office.open("/devices/one")
    assert "/undo" not in page
    assert "Cancelled" in page


async def test_erasing_tells_of_the_activation_lock(office: Office) -> None:
    assert "is not known" in await office.open("/devices/one/send/EraseDevice")
    for state, words in (("true", "Activation Lock is on"), ("false", "Activation Lock is off")):
        with office.api.database() as db, db:
            db.execute(
                "UPDATE devices SET information = ?", (f'{{"IsActivationLockEnabled": {state}}}',)
            )
        assert words in await office.open("/devices/one/send/EraseDevice")


async def test_d05_a_form_of_another_site_sends_nothing(office: Office) -> None:
    fields = {"how": "form", "csrf_token": "0" * 64}
    for path in ("/devices/one/send/SecurityInfo", "/devices/one/ask/security"):
        answer = await office.browser.submit(path, fields)
        assert answer.status == 403
    assert office.commands() == []


async def test_an_unknown_command_or_device_is_not_found(office: Office) -> None:
    assert (await office.browser.get("/devices/nobody/send/SecurityInfo")).status == 404
    assert (await office.browser.get("/devices/one/send/Nothing")).status in (404, 422)
