"""`-p KEY=VALUE`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import pytest

from appliance.cli.parameters import parse_parameters


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["A=text"], {"A": "text"}),
        (["A=1", "B=true", "C=null", 'D="1"'], {"A": 1, "B": True, "C": None, "D": "1"}),
        (["A=x=y"], {"A": "x=y"}),
        (["A="], {"A": ""}),
        (["A=NaN", "B=[Infinity]"], {"A": "NaN", "B": "[Infinity]"}),
        (['A={"B": [1]}'], {"A": {"B": [1]}}),
        (["A.B.C=1", "A.B.D=2"], {"A": {"B": {"C": 1, "D": 2}}}),
        (["A=1", "A=x", "A=3"], {"A": [1, "x", 3]}),
        (["A.B=1", "A.B=2"], {"A": {"B": [1, 2]}}),
    ],
)
def test_values_are_json_or_text(words: list[str], expected: dict[str, Any]) -> None:
    assert parse_parameters(words, None) == expected


@pytest.mark.parametrize("words", [["A"], ["=1"], ["A..B=1"], ["A=1", "A.B=2"], ["A.B=2", "A=1"]])
def test_what_has_no_clear_meaning_is_refused(words: list[str]) -> None:
    with pytest.raises(click.BadParameter):
        parse_parameters(words, None)


def test_a_value_without_bottom_is_refused() -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(click.BadParameter, match="nested too deep"):
            parse_parameters([f"A={text}"], None)


def test_a_key_that_wants_a_text_keeps_digits() -> None:
    assert parse_parameters(["PIN=012345"], "EraseDevice") == {"PIN": "012345"}
    assert parse_parameters(["PIN=123456"], "EraseDevice") == {"PIN": "123456"}
    assert parse_parameters(['PIN="123456"'], "EraseDevice") == {"PIN": "123456"}


def test_a_key_that_wants_a_list_gets_one() -> None:
    one = parse_parameters(["Queries=OSVersion"], "DeviceInformation")
    two = parse_parameters(["Queries=OSVersion", "Queries=DeviceName"], "DeviceInformation")
    written = parse_parameters(['Queries=["OSVersion"]'], "DeviceInformation")
    assert one == written == {"Queries": ["OSVersion"]}
    assert two == {"Queries": ["OSVersion", "DeviceName"]}


def test_what_is_nested_in_a_list_makes_a_list_of_one() -> None:
    words = ["Settings.Item=DeviceName", "Settings.DeviceName=2027"]
    expected: dict[str, Any] = {"Settings": [{"Item": "DeviceName", "DeviceName": "2027"}]}
    assert parse_parameters(words, "Settings") == expected
    words = ["Updates.InstallAction=Default", "Updates.ProductVersion=15.1"]
    expected = {"Updates": [{"InstallAction": "Default", "ProductVersion": "15.1"}]}
    assert parse_parameters(words, "ScheduleOSUpdate") == expected


def test_data_are_base64_or_a_file(tmp_path: Path) -> None:
    profile = tmp_path / "wifi.mobileconfig"
    profile.write_bytes(b"\x00profile")
    read = parse_parameters([f"Payload=@{profile}"], "InstallProfile")
    assert read == {"Payload": base64.b64encode(b"\x00profile").decode()}
    assert parse_parameters(["Payload=12345678"], "InstallProfile") == {"Payload": "12345678"}
    assert parse_parameters(['Payload="AAAA"'], "InstallProfile") == {"Payload": "AAAA"}
    assert parse_parameters(["Identifier=@home"], "RemoveProfile") == {"Identifier": "@home"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(click.BadParameter, match=f"cannot read {path}: "):
            parse_parameters([f"Payload=@{path}"], "InstallProfile")
