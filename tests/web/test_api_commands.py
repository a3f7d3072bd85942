"""`/api/v1/commands`."""

from __future__ import annotations

import base64
import json
import plistlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.simulator import cms, keys

from .api_client import Answer, ApiClient
from .browser import Browser

COMMANDS = "/api/v1/commands"


async def send(api: ApiClient, *targets: str, **body: Any) -> Answer:
    body.setdefault("request_type", "ProfileList")
    return await api.call("POST", COMMANDS, {"targets": list(targets), **body})


async def test_each_target_gets_a_command_of_its_own(api: ApiClient) -> None:
    answer = await send(api, api.enroll("one"), api.enroll("two"))
    assert answer.status == 202
    assert [command["target"] for command in answer.json["commands"]] == ["one", "two"]
    assert {command["status"] for command in answer.json["commands"]} == {"queued"}
    assert len({command["id"] for command in answer.json["commands"]}) == 2


async def test_an_unknown_target_queues_nothing(api: ApiClient) -> None:
    answer = await send(api, api.enroll("one"), "nobody")
    assert (answer.status, answer.json["code"]) == (404, "device.not_found")
    assert "nobody" in answer.json["detail"]
    assert (await api.call("GET", "/api/v1/devices/one")).json["queue_depth"] == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"request_type": "ProfileList"}, "/targets"),
        ({"targets": "one", "request_type": "ProfileList"}, "/targets"),
        ({"targets": [1], "request_type": "ProfileList"}, "/targets/..."),
        ({"targets": ["one"]}, "/request_type"),
        ({"targets": ["one"], "request_type": "ProfileList", "colour": "red"}, "/colour"),
        ({"targets": ["one"], "request_type": "ProfileList", "expires_at": "soon"}, "/expires_at"),
        ({"targets": ["one"], "request_type": "ProfileList", "plist": "?"}, "/plist"),
        (
            {"targets": ["one"], "request_type": "DeviceInformation", "parameters": {}},
            "/parameters/Queries",
        ),
        (
            {"targets": ["one"], "request_type": "EraseDevice", "confirm": {"serial": "x"}},
            "/confirm/...",
        ),
    ],
)
async def test_a_wrong_field_is_named(api: ApiClient, body: Any, pointer: str) -> None:
    api.enroll("one")
    answer = await api.call("POST", COMMANDS, body)
    assert answer.status == 422, answer.text
    assert answer.json["errors"][0]["pointer"].startswith(pointer.removesuffix("..."))


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"parameters":' + b'{"a":' * 100_000, b"plist"])
async def test_a_body_that_is_not_json_is_400(api: ApiClient, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.client.post(COMMANDS, data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json(content_type=None))["code"] == "request.malformed"


async def test_a_raw_plist_keeps_its_uuid(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid = str(uuid.uuid4())
    raw = plistlib.dumps({"Command": {"RequestType": "Custom"}, "CommandUUID": command_uuid})
    body = {"targets": ["one"], "plist": base64.b64encode(raw).decode()}
    answer = await api.call("POST", COMMANDS, body)
    assert answer.json["commands"][0]["id"] == command_uuid
    assert (await api.call("POST", COMMANDS, body)).status == 409, "the same UUID once only"


async def test_a_plist_for_several_devices_shows_all_channels(api: ApiClient) -> None:
    command_uuid = str(uuid.uuid4())
    raw = plistlib.dumps({"Command": {"RequestType": "Custom"}, "CommandUUID": command_uuid})
    targets = [api.enroll("one"), api.enroll("two")]
    body = {"targets": targets, "plist": base64.b64encode(raw).decode()}
    assert (await api.call("POST", COMMANDS, body)).status == 202
    shown = (await api.call("GET", f"{COMMANDS}/{command_uuid}")).json
    assert [channel["target"] for channel in shown["channels"]] == targets


async def test_an_answer_is_readable_whole(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid = (await send(api, "one")).json["commands"][0]["id"]
    waiting = (await api.call("GET", f"{COMMANDS}/{command_uuid}")).json
    assert (waiting["status"], waiting["result"], waiting["finished_at"]) == ("queued", None, None)
    profiles = [{"PayloadIdentifier": "a", "SignerCertificates": [b"\1\2"]}]
    answer = {"Status": "Acknowledged", "CommandUUID": command_uuid, "ProfileList": profiles}
    api.answer_command("one", command_uuid, plistlib.dumps(answer))
    shown = (await api.call("GET", f"{COMMANDS}/{command_uuid}")).json
    assert shown["status"] == "acknowledged"
    assert shown["result"]["ProfileList"][0]["SignerCertificates"] == ["AQI="]
    for stage in ("queued_at", "connected_at", "finished_at"):
        assert shown[stage].endswith("Z")
    history = (await api.call("GET", "/api/v1/devices/one/commands")).json
    assert history["items"][0] == shown


async def test_what_unlocks_a_device_is_withheld_until_somebody_asks_for_it(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid = (await send(api, "one")).json["commands"][0]["id"]
    answer = {"Status": "Acknowledged", "CommandUUID": command_uuid, "UnlockToken": b"secret"}
    api.answer_command("one", command_uuid, plistlib.dumps(answer))
    path = f"{COMMANDS}/{command_uuid}"
    for place in (path, "/api/v1/devices/one/commands"):
        assert "c2VjcmV0" not in (await api.call("GET", place)).text
    shown = await api.call("POST", f"{path}/secrets", {"reason": "locked out"})
    assert shown.json["result"]["UnlockToken"] == "c2VjcmV0"


async def test_cancel_works_while_queued_only(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid = (await send(api, "one")).json["commands"][0]["id"]
    cancelled = await api.call("DELETE", f"{COMMANDS}/{command_uuid}")
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    again = await api.call("DELETE", f"{COMMANDS}/{command_uuid}")
    assert (again.status, again.json["code"]) == (409, "command.not_cancellable")
    assert (await api.call("DELETE", f"{COMMANDS}/none")).status == 404


async def test_a_dangerous_command_needs_the_serial_number(api: ApiClient) -> None:
    api.enroll("one")
    answer = await send(api, "one", request_type="EraseDevice", parameters={"PIN": "123456"})
    assert (answer.status, answer.json["code"]) == (422, "command.confirmation_required")
    for serial, status in (("SERIAL-two", 422), ("SERIAL-one", 202)):
        confirm = {"serial_number": serial}
        answer = await send(
            api, "one", request_type="EraseDevice", parameters={"PIN": "123456"}, confirm=confirm
        )
        assert answer.status == status


OTHER = plistlib.dumps({"PayloadIdentifier": "com.example.wifi", "PayloadType": "Configuration"})
OURS = OTHER.replace(b"com.example.wifi", b"com.example.mdm.appliance.enroll")
SIGNER = cms.Signer(identity=keys.self_signed(keys.name(("CN", "whoever"))))
SIGNED = cms.signed_data(OURS, [SIGNER])


@pytest.mark.parametrize("form", ["parameters", "plist"])
@pytest.mark.parametrize(
    ("profile", "dangerous"),
    [
        (OTHER, False),
        (OURS, True),
        (SIGNED, True),
        (b"bplist00 that no reader of ours reads", True),
        (OURS.replace(b"<dict>", b"<dict><key>a</key><true/><key>a</key><true/>"), True),
    ],
)
async def test_replacing_the_management_profile_is_dangerous(
    api: ApiClient, form: str, profile: bytes, dangerous: bool
) -> None:
    name = api.enroll("one")
    body: dict[str, Any] = {"targets": [name]}
    if form == "plist":
        command = {"RequestType": "InstallProfile", "Payload": profile}
        raw = plistlib.dumps({"Command": command, "CommandUUID": "mine"})
        body["plist"] = base64.b64encode(raw).decode()
    else:
        body["request_type"] = "InstallProfile"
        body["parameters"] = {"Payload": base64.b64encode(profile).decode()}
    if dangerous:
        token = await api.new_token("write")
        answer = await api.call("POST", COMMANDS, body, token=token)
        assert (answer.status, answer.json["code"]) == (403, "auth.scope_missing")
        answer = await api.call("POST", COMMANDS, body)
        assert (answer.status, answer.json["code"]) == (422, "command.confirmation_required")
        assert "manages the device" in answer.json["why"]
        body["confirm"] = {"serial_number": f"SERIAL-{name}"}
    assert (await api.call("POST", COMMANDS, body)).status == 202


async def test_waiting_ends_with_the_time(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid = (await send(api, "one")).json["commands"][0]["id"]
    shown = await api.call("GET", f"{COMMANDS}/{command_uuid}?wait=0.1")
    assert (shown.status, shown.json["status"]) == (200, "queued")


async def test_all_66_request_types_are_listed(api: ApiClient) -> None:
    types = (await api.call("GET", "/api/v1/command-types")).json["items"]
    assert len(types) == 66
    by_name = {entry["request_type"]: entry for entry in types}
    assert by_name["EraseDevice"]["dangerous"]
    assert by_name["InstallProfile"]["required"] == ["Payload"]
    assert by_name["InstallProfile"]["keys"]["Payload"] == "data"


async def test_d12_hostile_names_stay_data(api: ApiClient) -> None:
    for name in ("=cmd|'/C calc'!A1", "<script>alert(1)</script>", "a'; DROP TABLE commands; --"):
        answer = await send(api, name)
        assert (answer.status, answer.json["code"]) == (404, "device.not_found")


async def test_an_order_that_can_be_undone_says_until_when(api: ApiClient) -> None:
    api.enroll("one")
    body = {"undo_seconds": 30, "reason": "lost on the train"}
    (queued,) = (await send(api, "one", **body)).json["commands"]
    shown = (await api.call("GET", f"{COMMANDS}/{queued['id']}")).json
    held = datetime.fromisoformat(shown["not_before"]) - datetime.fromisoformat(shown["queued_at"])
    assert held.total_seconds() == 30
    assert queued["not_before"] == shown["not_before"]
    (plain,) = (await send(api, "one")).json["commands"]
    assert plain["not_before"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"undo_seconds": 61}, "/undo_seconds"),
        ({"undo_seconds": -1}, "/undo_seconds"),
        ({"undo_seconds": "soon"}, "/undo_seconds"),
        ({"reason": "x" * 501}, "/reason"),
        ({"undo_seconds": 60, "expires_at": "{soon}"}, "/expires_at"),
    ],
)
async def test_a_hold_has_limits(api: ApiClient, body: dict[str, Any], pointer: str) -> None:
    api.enroll("one")
    if "expires_at" in body:
        body = {**body, "expires_at": (datetime.now(UTC) + timedelta(seconds=30)).isoformat()}
    answer = await send(api, "one", **body)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert (await api.call("GET", "/api/v1/devices/one")).json["queue_depth"] == 0


async def test_a_dangerous_order_is_recorded_with_its_reason_and_without_its_secrets(
    api: ApiClient,
) -> None:
    api.enroll("one")
    await send(
        api, "one", request_type="EraseDevice", parameters={"PIN": "918273"},
        confirm={"serial_number": "SERIAL-one"}, reason="lost on the train",
    )  # fmt: skip
    with api.database() as db:
        ((enrollment_id, data),) = db.execute(
            "SELECT enrollment_id, data FROM events WHERE kind = 'command.ordered'"
        ).fetchall()
    assert enrollment_id == "one"
    recorded = json.loads(data)
    assert recorded["reason"] == "lost on the train"
    assert (recorded["request_type"], recorded["by"]) == ("EraseDevice", "tests")
    assert "918273" not in data


async def test_what_has_expired_waits_in_no_queue(api: ApiClient, browser: Browser) -> None:
    api.enroll("one")
    await send(api, "one")
    expired = (await send(api, "one")).json["commands"][0]["id"]
    with api.database() as db:
        db.execute("UPDATE commands SET expires_at = 1 WHERE uuid = ?", (expired,))
        db.commit()
    (listed,) = (await api.call("GET", "/api/v1/devices")).json["items"]
    shown = (await api.call("GET", "/api/v1/devices/one")).json
    status = (await api.call("GET", "/api/v1/status")).json
    assert [it["queue_depth"] for it in (listed, shown, status)] == [1, 1, 1]
    assert "appliance_queue_depth 1.0" in (await api.call("GET", "/metrics")).text
    await browser.sign_up()
    assert "command waits for its device" in (await browser.get("/")).text


async def test_what_has_expired_finished_when_its_time_was_over(api: ApiClient) -> None:
    api.enroll("one")
    uuid = (await send(api, "one")).json["commands"][0]["id"]
    with api.database() as db:
        db.execute("UPDATE commands SET expires_at = 1000 WHERE uuid = ?", (uuid,))
        db.commit()
    shown = (await api.call("GET", f"/api/v1/commands/{uuid}")).json
    assert (shown["status"], shown["finished_at"]) == ("expired", shown["expires_at"])
    await api.parts.services.housekeeping.close_expired()
    assert (await api.call("GET", f"/api/v1/commands/{uuid}")).json == shown
