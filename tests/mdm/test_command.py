"""Reports about commands are typed, and commands are written as devices read them."""

from __future__ import annotations

import plistlib
from datetime import datetime
from pathlib import Path

import pytest

from appliance.errors import MalformedMessage
from appliance.mdm.command import (
    CommandResult,
    ErrorChainItem,
    Status,
    addressed,
    encode_command,
    parse_command,
    parse_result,
)
from appliance.wire.plist import Plist, Value, dumps, loads
from tests.mdm.messages import captures, read_capture

REPORT: dict[str, Value] = {"UDID": "D", "Status": "Acknowledged", "CommandUUID": "A1"}


def result(**changes: Value) -> CommandResult:
    return parse_result(Plist({**REPORT, **changes}))


@pytest.mark.parametrize("capture", captures(checkins=False), ids=lambda path: path.name)
def test_reports_of_real_devices_are_accepted(capture: Path) -> None:
    body = read_capture(capture)
    parsed = parse_result(body)
    assert parsed.status == body.text("Status")
    assert parsed.command_uuid == body.text("CommandUUID", None)
    assert len(parsed.error_chain) == len(body.array("ErrorChain", []))
    assert parsed.body is body


def test_idle_names_no_command() -> None:
    parsed = parse_result(Plist({"UDID": "D", "Status": "Idle"}))
    assert (parsed.status, parsed.command_uuid, parsed.error_chain) == (Status.IDLE, None, ())


@pytest.mark.parametrize("status", ["Acknowledged", "Error", "NotNow"])
def test_a_report_names_its_command(status: str) -> None:
    assert result(Status=status).command_uuid == "A1"
    with pytest.raises(MalformedMessage) as refusal:
        parse_result(Plist({"UDID": "D", "Status": status}))
    assert refusal.value.key == "CommandUUID"


def test_a_command_too_broken_to_name_may_be_reported() -> None:
    parsed = parse_result(Plist({"UDID": "D", "Status": "CommandFormatError"}))
    assert (parsed.status, parsed.command_uuid) == (Status.COMMAND_FORMAT_ERROR, None)
    assert result(Status="CommandFormatError").command_uuid == "A1"


def test_the_chain_of_errors_keeps_its_order() -> None:
    chain: list[Value] = [
        {
            "ErrorCode": 12013,
            "ErrorDomain": "MCMDMErrorDomain",
            "LocalizedDescription": "nicht verwaltet",
            "USEnglishDescription": "not managed",
        },
        {"ErrorCode": -3, "ErrorDomain": "x"},
    ]
    assert result(Status="Error", ErrorChain=chain).error_chain == (
        ErrorChainItem(
            error_code=12013,
            error_domain="MCMDMErrorDomain",
            localized_description="nicht verwaltet",
            us_english_description="not managed",
        ),
        ErrorChainItem(error_code=-3, error_domain="x"),
    )


@pytest.mark.parametrize("chain", ["x", {}, ["x"], []])
def test_a_chain_that_is_none_is_passed_over(chain: Value) -> None:
    assert result(Status="Error", ErrorChain=chain).error_chain == ()


def test_of_an_error_what_is_of_another_type_is_passed_over() -> None:
    chain: list[Value] = [{"ErrorCode": "12013", "ErrorDomain": 1, "LocalizedDescription": "x"}]
    assert result(Status="Error", ErrorChain=chain).error_chain == (
        ErrorChainItem(error_code=0, error_domain="", localized_description="x"),
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Status", "idle"),
        ("Status", ""),
        ("Status", "x" * 10_000),
        ("Status", 1),
        ("Status", ["Idle"]),
        ("UDID", ["D"]),
        ("UDID", ""),
        ("CommandUUID", ""),
        ("CommandUUID", "x" * 256),
        ("CommandUUID", "A\n1"),
        ("CommandUUID", b"A1"),
    ],
)
def test_a_21_a_report_with_a_wrong_value_is_refused_by_key(key: str, value: Value) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        result(**{key: value})
    assert refusal.value.key == key


@pytest.mark.parametrize("key", REPORT)
def test_a_21_a_report_without_a_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        parse_result(Plist({name: value for name, value in REPORT.items() if name != key}))
    assert refusal.value.key == key


def test_a_written_command_is_what_a_device_expects() -> None:
    payload = encode_command("A1", {"RequestType": "DeviceInformation", "Queries": ["UDID"]})
    assert payload.startswith(b"<?xml")
    assert loads(payload).value == {
        "CommandUUID": "A1",
        "Command": {"RequestType": "DeviceInformation", "Queries": ["UDID"]},
    }


@pytest.mark.parametrize("command_uuid", ["A1", "<&>\"'é", "x" * 255])
def test_a_command_without_its_uuid_becomes_the_one_that_was_meant(command_uuid: str) -> None:
    command: dict[str, Value] = {"RequestType": "Settings", "Settings": [{"Item": "x"}], "Z": ""}
    assert addressed(encode_command("", command), command_uuid) == encode_command(
        command_uuid, command
    )


def test_a_command_that_has_its_uuid_keeps_it() -> None:
    written = encode_command("A1", {"RequestType": "X", "CommandUUID": ""})
    assert addressed(written, "B2") == written
    assert addressed(b"", "B2") == b""


RAW = b"""<?xml version="1.0" encoding="UTF-8"?>
<?target <key>RequestType</key> ?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"
  "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- <dict> --><plist version="1.0"><dict><!-- <key>Command</key> -->
  <key>Command</key><?between ?><dict>
    <key>Request<!-- -->Type</key><string><![CDATA[Ou]]>r&#115;</string>
    <key>Data</key><data>AAH+
      /w==</data><?between <string>x</string> ?>
    <key>Date</key><date>2026-11-24T20:51:51Z</date>
    <key>Least</key><integer>-9223372036854775808</integer>
    <key>Most</key><integer>18446744073709551615</integer>
    <key>Hexadecimal</key><integer>0x7fffffffffffffff</integer>
    <key>Real</key><real>0.1</real>
    <key>Text</key><string> &lt;key&gt;<![CDATA[</string>]]>&amp;&#x1F600; </string>
    <key>Nothing</key><array/>
  </dict>
  <key>CommandUUID</key><string>A1</string><key>More</key><true/>
</dict></plist><!-- <plist> -->

"""


def test_a_raw_command_is_sent_as_it_was_read() -> None:
    command = parse_command(RAW)
    assert (command.command_uuid, command.request_type) == ("A1", "Ours")
    sent = plistlib.loads(command.payload)
    assert sent == {
        "Command": {
            "RequestType": "Ours",
            "Data": b"\0\1\xfe\xff",
            "Date": datetime(2026, 11, 24, 20, 51, 51),
            "Least": -(1 << 63),
            "Most": (1 << 64) - 1,
            "Hexadecimal": (1 << 63) - 1,
            "Real": 0.1,
            "Text": " <key></string>&\U0001f600 ",
            "Nothing": [],
        },
        "CommandUUID": "A1",
        "More": True,
    }
    assert loads(command.payload) == loads(RAW)


def test_what_readers_may_read_differently_reaches_no_device() -> None:
    assert marks_in(parse_command(RAW).payload) == set()


def marks_in(payload: bytes) -> set[bytes]:
    """Comments, CDATA and processing instructions, but for the first line."""
    return {mark for mark in (b"<!--", b"<![", b"<?", b"&#") if mark in payload[5:]}


@pytest.mark.parametrize(
    "twice",
    [
        b"<key>Command</key><dict><key>RequestType</key><string>EraseDevice</string></dict>",
        b"<!-- --><key>Comm<![CDATA[and]]></key><dict/>",
        b"<key>CommandUUID</key><string>A2</string>",
    ],
)
def test_a_raw_command_that_says_something_twice_is_refused(twice: bytes) -> None:
    with pytest.raises(MalformedMessage, match="appears twice"):
        parse_command(RAW.replace(b"<key>More</key><true/>", twice))


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "Command"),
        ({"CommandUUID": "A1"}, "Command"),
        ({"CommandUUID": "A1", "Command": "x"}, "Command"),
        ({"CommandUUID": "A1", "Command": {}}, "Command.RequestType"),
        ({"CommandUUID": "A1", "Command": {"RequestType": ""}}, "Command.RequestType"),
        ({"CommandUUID": "A1", "Command": {"RequestType": "x" * 256}}, "Command.RequestType"),
        ({"CommandUUID": "A1", "Command": {"RequestType": 1}}, "Command.RequestType"),
        ({"Command": {"RequestType": "x"}}, "CommandUUID"),
        ({"CommandUUID": "", "Command": {"RequestType": "x"}}, "CommandUUID"),
        ({"CommandUUID": "..", "Command": {"RequestType": "x"}}, "CommandUUID"),
    ],
)
def test_a_raw_command_without_its_parts_is_refused(body: dict[str, Value], key: str) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        parse_command(dumps(body))
    assert refusal.value.key == key


def test_what_a_command_reports_stays_out_of_repr() -> None:
    assert "secret" not in repr(result(UnlockToken=b"secret"))
    command = parse_command(
        encode_command("A1", {"RequestType": "ClearPasscode", "UnlockToken": b"secret"})
    )
    assert "secret" not in repr(command)
    assert "UnlockToken" not in repr(command)
