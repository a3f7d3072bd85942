"""Events: NanoMDM's form, the message as it came, and no secret in it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.mdm.checkin import parse_checkin
from appliance.mdm.command import parse_result
from appliance.mdm.event import Event, event_of
from appliance.wire.plist import Plist, Value, dumps, loads

from .messages import UDID, USER, captures, message

AT = datetime(2026, 11, 24, 8, 30, 0, 125000, tzinfo=UTC)
SECRET = b"\x07secret\x07" * 4
TOPICS = {
    "Authenticate", "TokenUpdate", "CheckOut", "UserAuthenticate", "SetBootstrapToken",
    "GetBootstrapToken", "DeclarativeManagement", "GetToken",
}  # fmt: skip


def told(body: Plist, **options: Any) -> tuple[Event, Any]:
    raw = dumps(body)
    said = parse_checkin(body) if "MessageType" in body else parse_result(body)
    event = event_of(said, raw, event_id="E", at=AT, **options)
    assert event is not None
    return event, json.loads(event.body)


def payload(event: Any) -> bytes:
    about = event.get("checkin_event") or event["acknowledge_event"]
    return base64.b64decode(about["raw_payload"], validate=True)


@pytest.mark.parametrize("message_type", sorted(TOPICS))
def test_a_check_in_has_the_form_of_nanomdm(message_type: str) -> None:
    event, sent = told(message(message_type))
    assert sent["topic"] == event.topic == f"mdm.{message_type}"
    assert list(sent) == ["topic", "event_id", "created_at", "checkin_event"]
    assert sent["created_at"] == "2026-11-24T08:30:00.125000Z"
    about = sent["checkin_event"]
    assert about["udid"] == UDID
    assert about["url_params"] == {}
    assert loads(payload(sent)).text("MessageType") == message_type


def test_what_the_format_has_no_topic_for_is_not_told() -> None:
    body = message("ReturnToService")
    assert event_of(parse_checkin(body), dumps(body), event_id="E", at=AT) is None


def test_a_report_says_its_command_and_status() -> None:
    body = Plist({"UDID": UDID, "Status": "Acknowledged", "CommandUUID": "C", "X": [1, "a"]})
    event, sent = told(body)
    about = sent["acknowledge_event"]
    assert about.pop("raw_payload") == base64.b64encode(dumps(body)).decode()
    assert about == {
        "udid": UDID, "ids": {"id": UDID, "type": "Device"}, "status": "Acknowledged",
        "command_uuid": "C", "url_params": {},
    }  # fmt: skip
    assert (event.topic, event.device_id) == ("mdm.Connect", UDID)
    _, idle = told(Plist({"UDID": UDID, "Status": "Idle"}))
    assert "command_uuid" not in idle["acknowledge_event"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            {"UDID": UDID, **USER},
            {"udid": UDID, "ids": {"id": f"{UDID}:U", "type": "User", "parent_id": UDID}},
        ),
        (
            {"EnrollmentID": "E"},
            {"enrollment_id": "E", "ids": {"id": "E", "type": "User Enrollment (Device)"}},
        ),
        (
            {"EnrollmentID": "E", "EnrollmentUserID": "U"},
            {
                "enrollment_id": "E",
                "ids": {"id": "E:U", "type": "User Enrollment", "parent_id": "E"},
            },
        ),
    ],
)
def test_every_channel_is_named_as_nanomdm_names_it(
    names: dict[str, Value], expected: dict[str, Any]
) -> None:
    event, sent = told(Plist({**names, "Status": "Idle"}))
    about = sent["acknowledge_event"]
    assert {key: about.get(key) for key in ("udid", "enrollment_id", "ids") if key in about} == (
        expected
    )
    assert event.device_id in (UDID, "E"), "its users' events go in line with the device's own"


def test_the_tally_is_told_of_a_token_update() -> None:
    _, sent = told(message("TokenUpdate"), tally=3)
    assert sent["checkin_event"]["token_update_tally"] == 3


@pytest.mark.parametrize(
    "body",
    [
        message("TokenUpdate", Token=SECRET, UnlockToken=SECRET, PushMagic=SECRET.hex()),
        message("SetBootstrapToken", BootstrapToken=SECRET),
        message("UserAuthenticate", DigestResponse=SECRET.hex()),
        message("GetToken", TokenParameters={"SecurityToken": SECRET.hex()}),
    ],
    ids=lambda body: body.text("MessageType"),
)
def test_secrets_of_check_ins_are_emptied_and_their_keys_stay(body: Plist) -> None:
    _, sent = told(body)
    sent_body = payload(sent)
    assert SECRET.hex().encode() not in sent_body
    assert base64.b64encode(SECRET)[:20] not in b"".join(sent_body.split())
    assert set(loads(sent_body).value) == set(body.value)
    assert loads(sent_body).text("UDID") == UDID


@pytest.mark.parametrize(
    "answer",
    [
        {"UnlockToken": SECRET},
        {"ActivationLockBypassCode": SECRET.hex()},
        {"SecurityInfo": {"Passcode": True, "BypassCode": SECRET.hex()}},
        {"RotateResult": {"RecoveryKey": SECRET.hex()}},
        {"QueryResponses": {"PushToken": SECRET}},
        {"Deep": [[{"a": [{"UnlockToken": {"also": SECRET}}]}], "kept"]},
    ],
)
def test_secrets_of_answers_are_emptied_wherever_they_stand(answer: dict[str, Value]) -> None:
    body = Plist({"UDID": UDID, "Status": "Acknowledged", "CommandUUID": "C", **answer})
    event, sent = told(body)
    assert SECRET.hex().encode() not in payload(sent)
    assert base64.b64encode(SECRET)[:20] not in b"".join(payload(sent).split())
    assert loads(payload(sent)).text("CommandUUID") == "C"
    assert SECRET.hex() not in repr(event)


def test_a_secret_behind_an_unusual_spelling_of_its_key_is_found() -> None:
    raw = dumps(message("TokenUpdate", UnlockToken=SECRET))
    raw = raw.replace(b"<key>UnlockToken</key>", b"<key>Unlock&#84;oken</key>")
    event = event_of(parse_checkin(loads(raw)), raw, event_id="E", at=AT)
    assert event is not None
    sent = payload(json.loads(event.body))
    assert base64.b64encode(SECRET)[:20] not in b"".join(sent.split())


@pytest.mark.parametrize("path", captures(checkins=False), ids=lambda path: path.stem)
def test_answers_of_real_devices_go_out_byte_for_byte(path: Any) -> None:
    raw = path.read_bytes()
    event = event_of(parse_result(loads(raw)), raw, event_id="E", at=AT)
    assert event is not None
    assert payload(json.loads(event.body)) == raw
