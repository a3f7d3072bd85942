"""A check-in message is typed when it is whole and refused by key when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import MalformedMessage
from appliance.mdm.checkin import (
    Authenticate,
    CheckinMessage,
    CheckOut,
    DeclarativeManagement,
    GetBootstrapToken,
    GetToken,
    SetBootstrapToken,
    TokenUpdate,
    UserAuthenticate,
    parse_checkin,
)
from appliance.wire.plist import Plist, Value, dumps, loads
from tests.mdm.messages import MESSAGES, REQUIRED, TOPIC, UDID, captures, message, read_capture

WRONG: list[Value] = [["x"], {"x": "y"}, 1, 0.5, True, "text", b"data"]


def refuse(body: Plist) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as refusal:
        parse_checkin(body)
    return refusal.value


@pytest.mark.parametrize("capture", captures(checkins=True), ids=lambda path: path.name)
def test_check_ins_of_real_devices_are_accepted(capture: Path) -> None:
    body = read_capture(capture)
    parsed = parse_checkin(body)
    assert type(parsed).__name__ == body.text("MessageType")
    assert parsed.enrollment.device_id == body.text("UDID")


@pytest.mark.parametrize("message_type", MESSAGES)
def test_every_message_survives_the_wire(message_type: str) -> None:
    body = message(message_type)
    assert parse_checkin(loads(dumps(body))) == parse_checkin(body)


def test_authenticate_tells_the_facts_of_the_device() -> None:
    parsed = parse_checkin(message("Authenticate"))
    assert isinstance(parsed, Authenticate)
    assert (parsed.enrollment.id, parsed.topic) == (UDID, TOPIC)
    assert (parsed.serial_number, parsed.device_name, parsed.model) == (
        "C0",
        "Anna's Mac",
        "Mac14,2",
    )
    assert (parsed.model_name, parsed.product_name) == ("MacBook Air", "Mac14,2")
    assert (parsed.os_version, parsed.build_version) == ("15.1", "24B83")
    assert (parsed.imei, parsed.meid) == ("1", "2")


def test_a_user_channel_cannot_authenticate() -> None:
    assert refuse(message("Authenticate", UserID="U")).key == "UserID"


def test_token_update_carries_what_a_push_needs() -> None:
    parsed = parse_checkin(message("TokenUpdate"))
    assert isinstance(parsed, TokenUpdate)
    assert (parsed.push_magic, parsed.token) == ("magic", b"\x01" * 32)
    assert (parsed.unlock_token, parsed.awaiting_configuration) == (b"unlock", True)
    assert (parsed.enrollment.id, parsed.user_short_name) == (f"{UDID}:U", "anna")


def test_what_a_token_update_leaves_out_is_not_known() -> None:
    body = Plist(
        {"MessageType": "TokenUpdate", "UDID": "D", "Topic": "t", "PushMagic": "m", "Token": b"x"}
    )
    parsed = parse_checkin(body)
    assert isinstance(parsed, TokenUpdate)
    assert parsed.unlock_token is None
    assert parsed.awaiting_configuration is None


def test_only_a_user_channel_authenticates_a_user() -> None:
    body = Plist({"MessageType": "UserAuthenticate", "EnrollmentID": "E", "UserID": "U"})
    assert refuse(body).key == "UDID"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Topic", ""),
        ("Topic", "t" * 256),
        ("PushMagic", ""),
        ("PushMagic", "m" * 256),
        ("Token", b""),
        ("Token", b"x" * 1025),
        ("Token", b"x" * 10_000),
        ("UnlockToken", b"x" * (64 * 1024 + 1)),
    ],
)
def test_a_19_a_token_that_cannot_wake_a_device_is_refused(key: str, value: Value) -> None:
    assert refuse(message("TokenUpdate", **{key: value})).key == key


@pytest.mark.parametrize("length", [1, 32, 100, 1024])
def test_tokens_have_no_fixed_length(length: int) -> None:
    parsed = parse_checkin(message("TokenUpdate", Token=b"x" * length))
    assert isinstance(parsed, TokenUpdate)
    assert len(parsed.token) == length


def test_an_empty_bootstrap_token_asks_to_forget_it() -> None:
    for body in (
        message("SetBootstrapToken", BootstrapToken=b""),
        Plist({"MessageType": "SetBootstrapToken", "UDID": "D"}),
    ):
        parsed = parse_checkin(body)
        assert isinstance(parsed, SetBootstrapToken)
        assert parsed.bootstrap_token is None
    parsed = parse_checkin(message("SetBootstrapToken"))
    assert isinstance(parsed, SetBootstrapToken)
    assert parsed.bootstrap_token == b"bootstrap"


def test_the_other_messages_are_typed() -> None:
    parsed: CheckinMessage = parse_checkin(message("UserAuthenticate"))
    assert isinstance(parsed, UserAuthenticate)
    assert (parsed.user_id, parsed.digest_response) == ("U", "Digest response")
    parsed = parse_checkin(message("DeclarativeManagement"))
    assert isinstance(parsed, DeclarativeManagement)
    assert (parsed.endpoint, parsed.data) == ("status", b"{}")
    parsed = parse_checkin(message("GetToken"))
    assert isinstance(parsed, GetToken)
    assert parsed.token_service_type == "com.apple.maid"
    assert isinstance(parse_checkin(message("GetBootstrapToken")), GetBootstrapToken)
    assert isinstance(parse_checkin(message("CheckOut")), CheckOut)


@pytest.mark.parametrize("message_type", ["", "Telepathy", "authenticate", "x" * 10_000])
def test_a_21_an_unknown_message_is_refused(message_type: str) -> None:
    assert refuse(Plist({"MessageType": message_type, "UDID": "D"})).key == "MessageType"


@pytest.mark.parametrize("message_type", MESSAGES)
def test_a_21_each_key_removed_is_refused_by_name_or_optional(message_type: str) -> None:
    whole = message(message_type).value
    for key in whole:
        body = Plist({name: value for name, value in whole.items() if name != key})
        if key == "MessageType" or key in REQUIRED[message_type]:
            assert refuse(body).key == key
        else:
            parse_checkin(body)


@pytest.mark.parametrize("message_type", MESSAGES)
def test_a_21_each_key_of_a_wrong_type_is_refused_by_name(message_type: str) -> None:
    whole = message(message_type).value
    unread = {"UserLongName", "UserShortName"} if message_type == "UserAuthenticate" else set()
    for key, right in whole.items():
        for wrong in WRONG:
            if type(wrong) is not type(right) and key not in unread:
                assert refuse(Plist(whole | {key: wrong})).key == key


@pytest.mark.parametrize("secret", ["unlock", "magic", "bootstrap", "Digest response"])
def test_secrets_stay_out_of_repr(secret: str) -> None:
    for message_type in MESSAGES:
        assert secret not in repr(parse_checkin(message(message_type)))


def test_a_fact_of_unreasonable_length_is_refused() -> None:
    assert refuse(message("Authenticate", DeviceName="x" * 1025)).key == "DeviceName"
