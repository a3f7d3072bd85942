"""Secrets of commands: sealed while they wait, gone when they are over, clear to the device."""

from __future__ import annotations

import base64
import os
import plistlib
from typing import Any

from tests.device.database import opened
from tests.device.device import Command, Device, Reply
from tests.device.server import Api

IPHONE = {
    "Model": "MTQ93", "ModelName": "iPhone", "ProductName": "iPhone15,2", "OSVersion": "17.5",
    "BuildVersion": "21F79",
}  # fmt: skip


def given(reply: Reply) -> Command:
    """The command which the server must have sent."""
    command = reply.command
    assert command is not None, "a command was due"
    return command


def stored(api: Api) -> bytes:
    """Every byte of the database, its log included."""
    files = sorted(api.server.data.glob("appliance.db*"))
    assert [file.name for file in files if file.name.endswith("-wal")], files
    return b"".join(file.read_bytes() for file in files)


def row_of(api: Api, command_uuid: str) -> tuple[int, int]:
    """Whether the payload is sealed, and how long it is."""
    with opened(api.server.data) as db:
        query = """
            SELECT c.sealed, length(p.body)
              FROM commands AS c
              JOIN command_payloads AS p ON p.command_id = c.id
             WHERE c.uuid = ?
        """
        sealed, length = db.execute(query, (command_uuid,)).fetchone()
        return sealed, length


def traces(secret: bytes) -> list[bytes]:
    """How the secret would look: as it is, and as base64 on one line."""
    text = base64.b64encode(secret)
    return [secret, text[:40], text[-40:]]


async def dangerous(api: Api, device: Device, request_type: str, **parameters: Any) -> str:
    """Queue a command that must be confirmed."""
    confirm = {"serial_number": device.serial_number}
    return await api.queue(device.id, request_type, parameters=parameters, confirm=confirm)


async def iphone_with(api: Api, token: bytes) -> Device:
    """An enrolled iPhone that escrowed an unlock token."""
    device = await api.enroll()
    assert (await device.authenticate(**IPHONE)).status == 200
    assert (await device.token_update(UnlockToken=token)).status == 200
    return device


async def test_a_pin_is_sealed_until_the_device_gets_it_and_gone_afterwards(
    api: Api, device: Device
) -> None:
    message = "canary " + os.urandom(12).hex()
    queued = await dangerous(api, device, "DeviceLock", PIN="483921", Message=message)
    assert row_of(api, queued)[0] == 1
    for sought in (message.encode(), b"<string>483921</string>"):
        assert sought not in stored(api)

    command = given(await device.idle())
    assert command.payload == {"RequestType": "DeviceLock", "PIN": "483921", "Message": message}
    await device.acknowledge(command)
    assert row_of(api, queued) == (1, 0)
    assert message.encode() not in stored(api)
    assert (await api.command(queued))["status"] == "acknowledged"


async def test_an_unlock_token_is_nowhere_in_clear(api: Api) -> None:
    token = os.urandom(300)
    device = await iphone_with(api, token)
    queued = await dangerous(api, device, "ClearPasscode")
    assert [sought for sought in traces(token) if sought in stored(api)] == []

    command = given(await device.idle())
    assert command.payload["UnlockToken"] == token
    await device.acknowledge(command)
    assert row_of(api, queued) == (1, 0)
    assert [sought for sought in traces(token) if sought in stored(api)] == []


async def test_a_secret_command_that_ends_unsent_leaves_nothing(api: Api, device: Device) -> None:
    cancelled = await dangerous(api, device, "DeviceLock", PIN="483921")
    assert (await api.delete(f"/api/v1/commands/{cancelled}")).status == 200
    cleared = await dangerous(api, device, "DeviceLock", PIN="483921")
    assert (await device.authenticate()).status == 200
    assert row_of(api, cancelled) == row_of(api, cleared) == (1, 0)


async def test_a_raw_secret_command_arrives_byte_for_byte(api: Api, device: Device) -> None:
    password = "canary " + os.urandom(12).hex()
    command = {"RequestType": "SetRecoveryLock", "NewPassword": password}
    raw = plistlib.dumps({"Command": command, "CommandUUID": os.urandom(16).hex()})
    confirm = {"serial_number": device.serial_number}
    plist = base64.b64encode(raw).decode()
    body = {"targets": [device.id], "plist": plist, "confirm": confirm}
    answer = await api.post("/api/v1/commands", body)
    assert answer.status == 202, answer
    assert password.encode() not in stored(api)
    assert (await device.idle()).body == raw


async def test_an_answer_that_holds_a_secret_is_sealed_and_readable(api: Api) -> None:
    device = await iphone_with(api, os.urandom(300))
    queued = await api.queue(device.id, "ActivationLockBypassCode")
    code = "CANARY-" + os.urandom(12).hex()
    await device.acknowledge(given(await device.idle()), ActivationLockBypassCode=code)
    assert code.encode() not in stored(api)
    shown = await api.post(f"/api/v1/commands/{queued}/secrets", {"reason": "a used iPhone"})
    assert shown.json["result"]["ActivationLockBypassCode"] == code
    assert code not in str(await api.command(queued))


async def test_a_format_error_without_uuid_ends_the_command_that_caused_it(
    api: Api, device: Device
) -> None:
    broken = await api.queue(device.id)
    waiting = await api.queue(device.id)
    assert given(await device.idle()).uuid == broken
    assert given(await device.report("CommandFormatError")).uuid == waiting
    assert (await api.command(broken))["status"] == "format_error"
    assert (await api.command(waiting))["status"] == "sent"


async def test_an_answer_of_another_type_finishes_its_command(api: Api, device: Device) -> None:
    information = await api.queue(device.id, "DeviceInformation", parameters={"Queries": ["UDID"]})
    security = await api.queue(device.id, "SecurityInfo")
    following = given(await device.acknowledge(given(await device.idle()), QueryResponses=["?"]))
    assert (await device.acknowledge(following, SecurityInfo="?")).command is None
    for queued in (information, security):
        assert (await api.command(queued))["status"] == "acknowledged"


async def test_a_page_of_history_ends_before_its_answers_are_too_many(
    api: Api, device: Device
) -> None:
    queued = [await api.queue(device.id) for _ in range(6)]
    command = (await device.idle()).command
    while command:
        command = (await device.acknowledge(command, Large=b"x" * 1_500_000)).command
    path = f"/api/v1/devices/{device.id}/commands"
    first = (await api.get(path)).json
    assert 1 <= len(first["items"]) < len(queued)
    rest = (await api.get(f"{path}?cursor={first['next_cursor']}")).json
    assert rest["next_cursor"] is None
    shown = [command["id"] for command in first["items"] + rest["items"]]
    assert shown == queued[::-1]
