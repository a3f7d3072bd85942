"""One order for many devices: stored once, and to each device a command of its own."""

from __future__ import annotations

import asyncio
import base64
import os
import plistlib

from tests.device.database import opened
from tests.device.device import Device
from tests.device.server import Api

from .test_command_secrets import given, stored, traces


def profile(secret: bytes, size: int = 0) -> str:
    """A profile with a secret, in base64 as the API takes it."""
    content = {"PayloadIdentifier": "com.example.net", "Secret": secret, "Long": os.urandom(size)}
    return base64.b64encode(plistlib.dumps(content)).decode()


def shared(api: Api) -> int:
    """How many payloads are stored that belong to more than one command, or are long."""
    with opened(api.server.data) as db:
        return int(db.execute("SELECT count(*) FROM shared_payloads").fetchone()[0])


async def test_a_long_profile_for_many_devices_is_stored_once_and_sealed(api: Api) -> None:
    devices = await asyncio.gather(*(api.enroll() for _ in range(8)))
    before, secret = shared(api), os.urandom(60)
    size = sum(file.stat().st_size for file in api.server.data.glob("appliance.db*"))
    parameters = {"Payload": profile(secret, 400_000)}
    ids = [device.id for device in devices]
    queued = await api.enqueue(ids, "InstallProfile", parameters=parameters)
    assert len({command["id"] for command in queued}) == 8
    assert shared(api) == before + 1
    grown = sum(file.stat().st_size for file in api.server.data.glob("appliance.db*")) - size
    assert grown < 3_000_000, "in the log and in the file, but not eight times"
    assert [sought for sought in traces(secret) if sought in stored(api)] == []

    for device, expected in zip(devices, queued, strict=True):
        assert shared(api) == before + 1, "it stays while one device waits for it"
        command = given(await device.idle())
        assert command.uuid == expected["id"]
        assert plistlib.loads(command.payload["Payload"])["Secret"] == secret
        await device.acknowledge(command)
    assert shared(api) == before, "with the last of them it is over"


async def test_what_is_cancelled_for_one_device_still_comes_to_the_other(
    api: Api, device: Device, other: Device
) -> None:
    before, secret = shared(api), os.urandom(60)
    mine, _ = await api.enqueue(
        [device.id, other.id], "InstallProfile", parameters={"Payload": profile(secret)}
    )
    assert (await api.delete(f"/api/v1/commands/{mine['id']}")).status == 200
    assert (await device.idle()).command is None
    command = given(await other.idle())
    assert plistlib.loads(command.payload["Payload"])["Secret"] == secret
    await other.acknowledge(command)
    assert shared(api) == before


async def test_secrets_of_a_shared_command_are_shown_on_demand(
    api: Api, device: Device, other: Device
) -> None:
    text = profile(b"sesame")
    mine, _ = await api.enqueue(
        [device.id, other.id], "InstallProfile", parameters={"Payload": text}
    )
    shown = await api.post(f"/api/v1/commands/{mine['id']}/secrets", {"reason": "a look"})
    assert shown.json["parameters"]["Payload"] == text


async def test_a_command_of_ones_own_arrives_at_all_byte_for_byte(
    api: Api, device: Device, other: Device
) -> None:
    command = {"RequestType": "DeviceInformation", "Queries": [""]}
    raw = plistlib.dumps({"Command": command, "CommandUUID": os.urandom(16).hex(), "Z": ""})
    body = {"targets": [device.id, other.id], "plist": base64.b64encode(raw).decode()}
    assert (await api.post("/api/v1/commands", body)).status == 202
    assert (await device.idle()).body == (await other.idle()).body == raw


async def test_an_order_that_one_device_rules_out_reaches_none(api: Api, device: Device) -> None:
    before = shared(api)
    gone = await api.enroll()
    await gone.check_out()
    body = {"targets": [device.id, gone.id], "request_type": "ProfileList"}
    assert (await api.post("/api/v1/commands", body)).status == 409
    assert (await device.idle()).command is None
    assert shared(api) == before


async def test_a_repeated_order_is_one(api: Api, device: Device, other: Device) -> None:
    before = shared(api)
    body = {
        "targets": [device.id, other.id],
        "request_type": "InstallProfile",
        "parameters": {"Payload": profile(b"x")},
    }
    headers = {"Authorization": f"Bearer {api.token}", "Idempotency-Key": os.urandom(8).hex()}
    url = f"{api.server.url}/api/v1/commands"

    async def send() -> str:
        async with api.session.post(url, json=body, headers=headers) as response:
            assert response.status == 202
            return await response.text()

    assert len(set(await asyncio.gather(*(send() for _ in range(4))))) == 1
    assert shared(api) == before + 1
