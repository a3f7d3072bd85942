"""Commands that are not queued: each says which field is wrong, and nothing is left behind."""

from __future__ import annotations

import base64
import plistlib
from typing import Any

import pytest

from .api_client import ApiClient

COMMANDS = "/api/v1/commands"
RAW = base64.b64encode(
    plistlib.dumps({"Command": {"RequestType": "ProfileList"}, "CommandUUID": "mine"})
).decode()


async def _refused(api: ApiClient, **body: Any) -> tuple[int, str, str]:
    """Status, code and pointer of a refusal; the queue of `one` has not grown."""
    before = (await api.call("GET", "/api/v1/devices/one")).json["queue_depth"]
    answer = await api.call("POST", COMMANDS, {"targets": ["one"], **body})
    assert (await api.call("GET", "/api/v1/devices/one")).json["queue_depth"] == before
    (error,) = answer.json.get("errors") or [{"pointer": ""}]
    return answer.status, answer.json["code"], error["pointer"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"plist": RAW, "request_type": "ProfileList"}, "/plist"),
        ({"plist": RAW, "parameters": {}}, "/plist"),
        ({}, "/request_type"),
        ({"request_type": "ProfileList", "targets": []}, "/targets"),
        ({"request_type": "ProfileList", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_a_contradiction_is_told_at_its_field(
    api: ApiClient, body: dict[str, Any], pointer: str
) -> None:
    api.enroll("one")
    status, _, said = await _refused(api, **body)
    assert (status, said) == (422, pointer)


async def test_a_uuid_is_used_once_for_a_device(api: ApiClient) -> None:
    api.enroll("one")
    sent = await api.call("POST", COMMANDS, {"targets": ["one"], "plist": RAW})
    assert sent.status == 202
    assert (await _refused(api, plist=RAW))[:2] == (409, "command.duplicate")


async def test_a_passcode_is_cleared_only_where_a_token_is_in_escrow(api: ApiClient) -> None:
    api.enroll("one", platform="iPhone")
    body = {"request_type": "ClearPasscode", "confirm": {"serial_number": "SERIAL-one"}}
    assert (await _refused(api, **body))[:2] == (422, "command.unlock_token_missing")


async def test_a_token_that_is_none_is_told_at_its_field(api: ApiClient) -> None:
    api.enroll("one")
    body = {"request_type": "ClearPasscode", "confirm": {"serial_number": "SERIAL-one"}}
    refused = await _refused(api, parameters={"UnlockToken": None}, **body)
    assert (refused[0], refused[2]) == (422, "/parameters/UnlockToken")


async def test_a_dangerous_command_goes_to_one_device(api: ApiClient) -> None:
    api.enroll("one")
    api.enroll("two")
    body = {"request_type": "EraseDevice", "confirm": {"serial_number": "SERIAL-one"}}
    refused = await _refused(api, targets=["one", "two"], **body)
    assert refused == (422, "command.confirmation_required", "/targets")


async def test_a_device_that_has_left_takes_no_command(api: ApiClient) -> None:
    api.enroll("one")
    assert (await api.call("POST", "/api/v1/devices/one/forget")).status in (200, 204)
    answer = await api.call("POST", COMMANDS, {"targets": ["one"], "request_type": "ProfileList"})
    assert (answer.status, answer.json["code"]) == (409, "device.not_enrolled")
    assert "enrolled anew" in answer.json["hint"]
