"""The queue of one channel, told as the device sees it."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import uuid
from datetime import UTC, datetime, timedelta

from tests.device.device import Command, Device, Reply
from tests.device.server import Api


def given(reply: Reply) -> Command:
    """The command which the server must have sent."""
    command = reply.command
    assert command is not None, "a command was due"
    return command


async def test_commands_come_first_in_first_out_and_one_at_a_time(api: Api, device: Device) -> None:
    queued = [await api.queue(device.id) for _ in range(4)]
    received = []
    command = (await device.idle()).command
    while command:
        received.append(command.uuid)
        command = (await device.acknowledge(command)).command
    assert received == queued


async def test_an_unanswered_command_stays_at_the_head(api: Api, device: Device) -> None:
    first = await api.queue(device.id)
    await api.queue(device.id)
    assert given(await device.idle()).uuid == first
    assert (await api.command(first))["status"] == "sent"
    assert given(await device.idle()).uuid == first


async def test_the_command_arrives_with_its_parameters(api: Api, device: Device) -> None:
    parameters = {"Queries": ["UDID", "OSVersion"]}
    await api.queue(device.id, "DeviceInformation", parameters=parameters)
    command = given(await device.idle())
    assert command.request_type == "DeviceInformation"
    assert command.payload["Queries"] == ["UDID", "OSVersion"]


async def test_a_refused_command_waits_for_the_next_idle(api: Api, device: Device) -> None:
    first = await api.queue(device.id)
    second = await api.queue(device.id)
    command = given(await device.idle())
    assert command.uuid == first
    following = given(await device.not_now(command))
    assert following.uuid == second
    assert (await api.command(first))["status"] == "not_now"
    assert (await device.acknowledge(following)).command is None
    assert given(await device.idle()).uuid == first


async def test_refused_commands_are_each_offered_once_a_session(api: Api, device: Device) -> None:
    queued = [await api.queue(device.id) for _ in range(3)]
    offered = []
    command = (await device.idle()).command
    while command:
        offered.append(command.uuid)
        command = (await device.not_now(command)).command
    assert offered == queued
    assert given(await device.idle()).uuid == queued[0]


async def test_error_and_format_error_are_final(api: Api, device: Device) -> None:
    first = await api.queue(device.id)
    second = await api.queue(device.id)
    following = given(await device.error(given(await device.idle()), code=12021))
    assert following.uuid == second
    assert (await device.format_error(following)).command is None
    assert (await device.idle()).command is None
    shown = await api.command(first)
    assert shown["status"] == "error"
    assert shown["error_chain"][0]["error_code"] == 12021
    assert (await api.command(second))["status"] == "format_error"


async def test_a_result_is_stored_whole_and_readable(api: Api, device: Device) -> None:
    queued = await api.queue(device.id, "DeviceInformation", parameters={"Queries": ["UDID"]})
    answer = {"UDID": device.udid, "DeviceName": "Yuki's Mac", "BatteryLevel": 0.5}
    await device.acknowledge(given(await device.idle()), QueryResponses=answer)
    shown = await api.command(queued)
    assert shown["status"] == "acknowledged"
    assert shown["result"]["QueryResponses"] == answer
    for stage in ("queued_at", "connected_at", "finished_at"):
        assert shown[stage].endswith("Z"), stage
    assert (await api.device(device.id))["name"] == "Yuki's Mac"


async def test_repeated_results_change_nothing(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    waiting = await api.queue(device.id)
    command = given(await device.idle())
    assert given(await device.acknowledge(command, ProfileList=[])).uuid == waiting
    before = await api.command(queued)
    assert given(await device.acknowledge(command, ProfileList=[])).uuid == waiting
    assert given(await device.error(command)).uuid == waiting
    assert given(await device.not_now(command)).uuid == waiting
    assert await api.command(queued) == before


async def test_a_result_for_an_unknown_command_is_answered_and_ignored(
    api: Api, device: Device
) -> None:
    queued = await api.queue(device.id)
    assert given(await device.acknowledge(str(uuid.uuid4()).upper())).uuid == queued


async def test_a_cancelled_command_is_not_delivered(api: Api, device: Device) -> None:
    first = await api.queue(device.id)
    second = await api.queue(device.id)
    assert (await api.delete(f"/api/v1/commands/{first}")).status in (200, 204)
    assert given(await device.idle()).uuid == second
    assert (await api.command(first))["status"] == "cancelled"


async def test_an_answered_command_cannot_be_cancelled(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    await device.acknowledge(given(await device.idle()))
    assert (await api.delete(f"/api/v1/commands/{queued}")).status == 409
    assert (await api.command(queued))["status"] == "acknowledged"


async def test_an_expired_command_is_not_delivered(api: Api, device: Device) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    expiring = await api.queue(device.id, expires_at=soon.isoformat())
    lasting = await api.queue(device.id)
    await asyncio.sleep(2.1)
    assert given(await device.idle()).uuid == lasting
    assert (await api.command(expiring))["status"] == "expired"


async def test_several_targets_get_one_command_each(
    api: Api, device: Device, other: Device
) -> None:
    commands = await api.enqueue([device.id, other.id], "ProfileList")
    assert [command["target"] for command in commands] == [device.id, other.id]
    assert {command["status"] for command in commands} == {"queued"}
    await device.acknowledge(given(await device.idle()), ProfileList=[])
    assert given(await other.idle()).request_type == "ProfileList"


async def test_an_unknown_target_queues_nothing_at_all(api: Api, device: Device) -> None:
    body = {"targets": [device.id, "nobody"], "request_type": "ProfileList"}
    answer = await api.post("/api/v1/commands", body)
    assert answer.status == 404
    assert answer.json["code"] == "device.not_found"
    assert "nobody" in answer.text
    assert (await device.idle()).command is None


async def test_authenticate_clears_the_queue(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    user = device.user()
    await user.token_update()
    users = await api.queue(f"{device.id}:{user.identification['UserID']}")
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    assert (await device.idle()).command is None
    assert (await api.command(queued))["status"] == "cancelled"
    assert (await api.command(users))["status"] == "cancelled"


async def test_a_raw_plist_is_delivered_byte_for_byte(api: Api, device: Device) -> None:
    command_uuid = str(uuid.uuid4()).upper()
    command = {"RequestType": "ProfileList", "ManagedOnly": True}
    raw = plistlib.dumps({"Command": command, "CommandUUID": command_uuid})
    body = {"targets": [device.id], "plist": base64.b64encode(raw).decode()}
    answer = await api.post("/api/v1/commands", body)
    assert answer.status == 202, answer
    assert answer.json["commands"][0]["id"] == command_uuid
    reply = await device.idle()
    assert reply.body == raw


async def test_history_lists_the_commands_of_a_device(api: Api, device: Device) -> None:
    queued = {await api.queue(device.id) for _ in range(3)}
    listed = (await api.get(f"/api/v1/devices/{device.id}/commands")).json
    assert {command["id"] for command in listed["items"]} == queued
    assert "next_cursor" in listed


async def test_a_wrong_parameter_is_named_and_nothing_queued(api: Api, device: Device) -> None:
    body = {
        "targets": [device.id],
        "request_type": "DeviceInformation",
        "parameters": {"Queries": "OSVersion"},
    }
    answer = await api.post("/api/v1/commands", body)
    assert answer.status in (400, 422)
    assert "Queries" in answer.text
    assert (await device.idle()).command is None


async def test_a_dangerous_command_needs_confirmation(api: Api, device: Device) -> None:
    body = {"targets": [device.id], "request_type": "EraseDevice", "parameters": {"PIN": "123456"}}
    answer = await api.post("/api/v1/commands", body)
    assert answer.status == 422
    assert answer.json["code"] == "command.confirmation_required"
    body["confirm"] = {"serial_number": device.serial_number}
    assert (await api.post("/api/v1/commands", body)).status == 202
    assert given(await device.idle()).request_type == "EraseDevice"


async def test_security_information_fills_the_devices_row(api: Api, device: Device) -> None:
    await api.queue(device.id, "SecurityInfo")
    security = {"HardwareEncryptionCaps": 3, "PasscodePresent": True}
    await device.acknowledge(given(await device.idle()), SecurityInfo=security)
    shown = await api.device(device.id)
    assert shown["security"]["PasscodePresent"] is True
    assert shown["security_at"].endswith("Z")


async def test_the_queue_depth_counts_what_is_open(api: Api, device: Device) -> None:
    await api.queue(device.id)
    await api.queue(device.id)
    assert (await api.device(device.id))["queue_depth"] == 2
    following = given(await device.acknowledge(given(await device.idle())))
    assert (await api.device(device.id))["queue_depth"] == 1
    await device.not_now(following)
    assert (await api.device(device.id))["queue_depth"] == 1


async def test_a_large_result_is_taken_and_a_larger_one_refused(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    command = given(await device.idle())
    assert (await device.acknowledge(command, Huge=b"x" * 4_000_000)).status == 413
    assert (await device.acknowledge(command, Large=b"x" * 2_000_000)).status == 200
    assert (await api.command(queued))["status"] == "acknowledged"
