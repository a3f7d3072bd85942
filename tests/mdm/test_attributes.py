"""What a device signs about itself is read by key and type."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from appliance.errors import MalformedMessage
from appliance.mdm.attributes import DeviceAttributes, parse_attributes

WHOLE = {"UDID": "A-1", "SERIAL": "C1", "CHALLENGE": "c", "PRODUCT": "iPhone11,2"}


def test_the_attributes_of_a_phone() -> None:
    read = parse_attributes(plistlib.dumps(WHOLE))
    assert read == DeviceAttributes(udid="A-1", serial_number="C1", challenge="c")
    assert "challenge" not in repr(read)


def test_a_mac_also_says_who_asks_and_is_meant_itself() -> None:
    user = {"UserID": "U", "UserShortName": "yuki", "NotOnConsole": False, "IMEI": ""}
    assert parse_attributes(plistlib.dumps({**WHOLE, **user})).udid == "A-1"


@pytest.mark.parametrize(
    ("key", "value"),
    [("UDID", ""), ("UDID", "A:1"), ("SERIAL", ""), ("SERIAL", "C\n"), ("SERIAL", 1),
     ("SERIAL", "C" * 256), ("CHALLENGE", b"c"), ("UDID", None), ("SERIAL", None)],
)  # fmt: skip
def test_another_type_or_a_missing_key_is_named(key: str, value: Any) -> None:
    attributes = {k: v for k, v in {**WHOLE, key: value}.items() if v is not None}
    with pytest.raises(MalformedMessage, match=key):
        parse_attributes(plistlib.dumps(attributes))
