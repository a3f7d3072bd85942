"""Answers in words: what a person reads of them, and that no answer breaks the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from appliance.web.board.causes import cause_of
from appliance.web.board.labels import LABELS
from appliance.web.board.readout import Facts, Table, is_partial, readout
from appliance.web.board.tables import GROUPED, SHAPES

KEYS = [*LABELS, *SHAPES, *GROUPED, "Status", "Data", "Item", "ErrorChain", "PayloadContent"]
ANY = some.recursive(
    some.one_of(
        some.text(max_size=4), some.integers(), some.floats(), some.booleans(),
        some.binary(max_size=4), some.just(datetime(2026, 1, 31)), some.none(),
    ),
    lambda inner: some.one_of(
        some.lists(inner, max_size=3),
        some.dictionaries(some.sampled_from(KEYS) | some.text(max_size=3), inner, max_size=3),
    ),
)  # fmt: skip


def facts(answer: Mapping[str, Any], **sent: Any) -> dict[str, str]:
    """The facts of an answer: label and text."""
    return {
        label.word or label.name: cell.text
        for block in readout(answer, sent, reveal=False)
        if isinstance(block, Facts)
        for label, cell in block.rows
    }


def table(answer: Mapping[str, Any], **sent: Any) -> Table:
    """The only table of an answer."""
    (found,) = (block for block in readout(answer, sent, reveal=False) if isinstance(block, Table))
    return found


@given(some.dictionaries(some.sampled_from(KEYS), ANY, max_size=4), ANY)
def test_no_answer_is_too_strange_to_be_shown(answer: dict[str, Any], sent: Any) -> None:
    for reveal in (False, True):
        readout(answer, {"Settings": sent}, reveal=reveal)
    is_partial(answer)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("DeviceCapacity", 238.46, "238.5 GB"),
        ("BatteryLevel", 0.09, "9%"),
        ("AutoLockTime", 120, "%(count)s min"),
        ("AutoLockTime", 0, "At once"),
        ("AutoLockTime", 90, "%(count)s s"),
        ("QuotaSize", 2048, "2 GB"),
        ("OnlineAuthenticationGracePeriod", 3, "%(count)s d"),
        ("CacheUsed", 999, "999 B"),
        ("TotalBytesImported", 1_500_000, "1.5 MB"),
        ("Latitude", 35.681236, "35.6812°"),
        ("FDE_Enabled", False, "Off"),
        ("IsSupervised", True, "Yes"),
        ("HardwareEncryptionCaps", 3, "Of blocks and files"),
        ("HardwareEncryptionCaps", 9, "9"),
        ("LastCloudBackupDate", datetime(2026, 1, 31, 12, 5), "2026-01-31 12:05 UTC"),
        ("PushToken", b"1234", "4"),
        ("ReducedSecurity", ["a", "b"], "a, b"),
        ("HostName", "", ""),
    ],
)
def test_a_value_is_told_in_its_unit(key: str, value: Any, shown: str) -> None:
    assert list(facts({key: value}).values()) == [shown]


def test_a_key_that_apple_adds_is_shown_by_its_name() -> None:
    assert facts({"SecurityInfo": {"NewThing": 5}}) == {"NewThing": "5"}


def test_a_secret_is_withheld() -> None:
    answer = {"UnlockToken": b"secret", "ActivationLockBypassCode": "AAAA-BBBB"}
    (block,) = readout(answer, {}, reveal=False)
    assert isinstance(block, Facts)
    assert {cell.kind for _, cell in block.rows} == {"withheld"}
    (block,) = readout(answer, {}, reveal=True)
    assert isinstance(block, Facts)
    assert "AAAA-BBBB" in [cell.text for _, cell in block.rows]


def test_results_of_settings_carry_the_names_that_were_sent() -> None:
    results = [{"Status": "Acknowledged"}, {"Status": "Error", "ErrorChain": [{"ErrorCode": 1}]}]
    found = table(
        {"Settings": results}, Settings=[{"Item": "DeviceName"}, {"Item": "AppleInventsOne"}]
    )
    assert [entry.name.word or entry.name.name for entry in found.entries] == [
        "Name",
        "AppleInventsOne",
    ]
    assert [entry.cells[0].text for entry in found.entries] == ["Done", "Refused"]
    assert is_partial({"Settings": results})
    assert not is_partial({"Settings": results[:1]})


def test_a_long_list_ends_and_says_how_long_it_is() -> None:
    apps = [{"Name": f"App {number}", "Identifier": f"a.{number}"} for number in range(900)]
    found = table({"InstalledApplicationList": apps})
    assert found.count == 900
    assert len(found.entries) == 400


def test_a_list_that_is_empty_says_so() -> None:
    assert table({"ProfileList": []}).count == 0
    assert table({"ManagedApplicationList": {}}).count == 0
    assert table({"ApplicationConfigurations": []}).count == 0


def test_a_certificate_that_cannot_be_read_keeps_its_name() -> None:
    found = table({"CertificateList": [{"CommonName": "Broken", "Data": b"no DER"}]})
    assert [entry.name.name for entry in found.entries] == ["Broken"]


def test_newer_systems_name_their_domains_otherwise() -> None:
    old, new = (
        cause_of(domain, 1002) for domain in ("MCProfileErrorDomain", "DMCProfileErrorDomain")
    )
    assert old is not None
    assert old == new
    assert cause_of("MadeUpErrorDomain", 1) is None
    assert cause_of(None, None) is None


def test_what_belongs_to_an_app_stands_under_its_name() -> None:
    answer = {
        "ApplicationConfigurations": [
            {"Identifier": "com.example.a", "Configuration": {"server": "https://a", "tries": 3}},
            {"Identifier": "com.example.b", "Configuration": {}},
        ]
    }
    first, second = readout(answer, {}, reveal=False)
    assert isinstance(first, Facts)
    assert first.title.name == "com.example.a"
    assert [(label.name, cell.text) for label, cell in first.rows] == [
        ("server", "https://a"),
        ("tries", "3"),
    ]
    assert isinstance(second, Facts)
    assert (second.title.name, second.rows) == ("com.example.b", ())


def test_restrictions_are_told_together_and_by_profile() -> None:
    camera = {"restrictedBool": {"allowCamera": {"value": False}}}
    answer = {
        "GlobalRestrictions": {**camera, "union": {"blockedApps": {"values": ["a", "b"]}}},
        "ProfileRestrictions": {"com.example.p": camera},
    }
    together, by_profile = readout(answer, {}, reveal=False)
    assert isinstance(together, Table)
    assert isinstance(by_profile, Table)
    found = {entry.name.name: entry.cells[0].text for entry in together.entries}
    assert found == {"allowCamera": "No", "blockedApps": "a, b"}
    assert by_profile.title.name == "com.example.p"
