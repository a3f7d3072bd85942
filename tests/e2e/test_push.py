"""Wake-up: from a queued command to the push server and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.simulator.apns import ApnsAnswer
from tests.device.device import Device
from tests.device.events import listen
from tests.device.push import Woken, until, waking

_AT_ONCE = 100  # pushes


@pytest.fixture
async def woken(tmp_path: Path) -> AsyncIterator[Woken]:
    async with waking(tmp_path) as story:
        yield story


async def test_a_queued_command_wakes_its_device_and_shows_when(woken: Woken) -> None:
    device = await woken.api.enroll()
    queued = await woken.api.queue(device.id)
    await until(lambda: woken.pushes_to(device.token) == 1)

    push = woken.apns.pushes[-1]
    assert push.push_magic == device.push_magic
    assert push.headers["apns-topic"] == woken.server.topic
    assert push.headers["apns-push-type"] == "mdm"
    await woken.pushed(queued)
    assert (await device.idle()).command is not None
    shown = await woken.api.command(queued)
    assert shown["queued_at"] <= shown["pushed_at"] <= shown["connected_at"]


async def test_a_burst_of_commands_is_one_push(woken: Woken) -> None:
    device = await woken.api.enroll()
    first = await woken.api.queue(device.id)
    await woken.pushed(first)
    for _ in range(5):
        await woken.api.queue(device.id)
    await asyncio.sleep(0.5)
    assert woken.pushes_to(device.token) == 1


async def _refused(woken: Woken, device: Device, reason: str = "Unregistered") -> None:
    """Wait until the server has noted what Apple says of the device's token."""
    async with asyncio.timeout(60):
        while reason not in str((await woken.api.device(device.id))["push_outcome"]):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mended_by", ["another certificate", "a restart", "an order"])
async def test_a_refusal_that_was_not_the_devices_fault_is_not_for_ever(
    woken: Woken, mended_by: str
) -> None:
    """Of a wrong certificate or host; a device that is not woken may not come for months."""
    device = await woken.api.enroll()
    woken.apns.script(device.token, ApnsAnswer(status=400, reason="TopicDisallowed"))
    queued = await woken.api.queue(device.id)
    await _refused(woken, device, "TopicDisallowed")

    match mended_by:
        case "another certificate":
            assert await woken.import_certificate(woken.authority.push(woken.server.topic)) == 200
        case "a restart":
            assert await asyncio.to_thread(woken.server.stop) == 0
            await asyncio.to_thread(woken.server.start)
        case _:
            assert (await woken.api.get(f"/v1/push/{device.id}")).status == 200
    await woken.pushed(queued)
    assert woken.pushes_to(device.token) == 2
    assert (await woken.api.device(device.id))["push_outcome"] == "accepted"
    await device.idle()
    await woken.pushed(await woken.api.queue(device.id))


async def test_an_unregistered_token_is_left_alone_until_the_device_renews_it(
    woken: Woken,
) -> None:
    device = await woken.api.enroll()
    woken.apns.script(device.token, ApnsAnswer(status=410, reason="Unregistered"))
    await woken.api.queue(device.id)
    await until(lambda: woken.pushes_to(device.token) == 1)
    await _refused(woken, device)
    await woken.api.queue(device.id)
    await asyncio.sleep(0.5)
    assert woken.pushes_to(device.token) == 1

    device.token = b"renewed" * 4
    await device.token_update()
    await until(lambda: woken.pushes_to(device.token) == 1)


async def test_a_busy_push_server_is_asked_again(woken: Woken) -> None:
    device = await woken.api.enroll()
    woken.apns.script(device.token, ApnsAnswer(status=503, reason="ServiceUnavailable"))
    queued = await woken.api.queue(device.id)
    await until(lambda: woken.pushes_to(device.token) == 2)
    await woken.pushed(queued)


async def test_a_renewed_certificate_is_used_without_a_restart(woken: Woken) -> None:
    device = await woken.api.enroll()
    await woken.pushed(await woken.api.queue(device.id))
    before = woken.apns.connection_count
    assert await woken.import_certificate(woken.authority.push(woken.server.topic)) == 200
    await device.idle()
    await woken.pushed(await woken.api.queue(device.id))
    assert woken.apns.connection_count == before + 1


async def test_h07_a_certificate_with_another_topic_is_refused_with_the_number_of_devices(
    woken: Woken,
) -> None:
    await woken.api.enroll()
    other = woken.authority.push("com.apple.mgmt.External.another")
    body = {
        "certificate": other.certificate_pem.decode(),
        "private_key": other.key_pem.decode(),
    }
    answer = await woken.api.put("/api/v1/push-certificate", body)
    assert (answer.status, answer.json["code"]) == (409, "push_certificate.topic_changed")
    assert answer.json["detail"].startswith("1 enrolled device")
    shown = (await woken.api.get("/api/v1/push-certificate")).json
    assert shown["topic"] == woken.server.topic

    body["replace_topic"] = "com.apple.mgmt.External.another"
    assert (await woken.api.put("/api/v1/push-certificate", body)).status == 200


async def test_a_device_that_was_told_and_has_nothing_left_is_not_told_again(woken: Woken) -> None:
    device: Device = await woken.api.enroll()
    await woken.pushed(await woken.api.queue(device.id))
    reply = await device.idle()
    assert reply.command is not None
    assert (await device.acknowledge(reply.command)).command is None
    await asyncio.sleep(0.3)
    assert woken.pushes_to(device.token) == 1


async def test_whoever_listens_hears_the_four_stages_in_order(woken: Woken) -> None:
    device = await woken.api.enroll()
    events = f"{woken.server.url}/api/v1/events?types=command&device={device.serial_number}"
    async with listen(woken.api.session, events, woken.server.token) as stream:
        command = await woken.api.queue(device.id, "ProfileList")
        announced = await stream.take(2)
        received = (await device.idle()).command
        assert received is not None
        await device.acknowledge(received, ProfileList=[])
        heard = [*announced, *await stream.take(2)]

    assert [event.data["stage"] for event in heard] == [
        "queued", "pushed", "connected", "finished",
    ]  # fmt: skip
    assert {event.data["id"] for event in heard} == {command}
    assert {event.data["device"] for event in heard} == {device.id}
    assert {event.data["request_type"] for event in heard} == {"ProfileList"}
    assert [event.data["status"] for event in heard] == [
        "queued", "queued", "sent", "acknowledged",
    ]  # fmt: skip
    ids = [int(event.last_event_id) for event in heard]
    assert ids == sorted(ids)
    assert ids[1] == ids[0] == ids[2] < ids[3], "what is not stored has no id"


async def test_a_refused_certificate_is_not_tried_anew_with_each_command(woken: Woken) -> None:
    """Each try is a new connection, of which Apple has an opinion."""
    devices = [await woken.api.enroll() for _ in range(8)]
    woken.apns.default = ApnsAnswer(status=403, reason="BadCertificate")
    waits = []
    for device in devices:
        waits.append(await woken.api.queue(device.id))
        await until(lambda: woken.apns.push_count > 0)
        await asyncio.sleep(0.1)
    assert woken.apns.connection_count == 1

    woken.apns.default = ApnsAnswer()
    assert await woken.import_certificate(woken.authority.push(woken.server.topic)) == 200
    for command in waits:
        await woken.pushed(command)
    assert woken.apns.connection_count == 2


async def test_a_certificate_that_ends_between_two_pushes_is_told_and_replaced(
    woken: Woken,
) -> None:
    """Apple answers the second push on the same connection by 403; nothing of it is lost."""
    device = await woken.api.enroll()
    await woken.pushed(await woken.api.queue(device.id))
    await device.idle()
    woken.apns.script(device.token, ApnsAnswer(status=403, reason="BadCertificate"))
    waits = await woken.api.queue(device.id)
    await until(lambda: woken.pushes_to(device.token) == 2)
    async with asyncio.timeout(60):
        while not (shown := (await woken.api.get("/api/v1/push-certificate")).json)["last_error"]:
            await asyncio.sleep(0.05)
    assert "BadCertificate" in shown["last_error"]
    assert (await woken.api.command(waits))["pushed_at"] is None
    assert woken.pushes_to(device.token) == 2, "a refused certificate is not tried in a hurry"

    assert await woken.import_certificate(woken.authority.push(woken.server.topic)) == 200
    async with asyncio.timeout(10):
        await woken.pushed(waits)
    shown = (await woken.api.get("/api/v1/push-certificate")).json
    assert shown["last_error"] is None


async def test_a_certificate_replaced_while_a_fleet_is_woken_fails_no_push(tmp_path: Path) -> None:
    async with waking(tmp_path, per_second=2000) as woken:
        devices = [await woken.api.enroll() for _ in range(_AT_ONCE + 20)]
        woken.apns.default = ApnsAnswer(delay_seconds=1)
        commands = await woken.api.enqueue([device.id for device in devices], "ProfileList")
        await until(lambda: woken.apns.push_count >= _AT_ONCE)  # the others wait for their turn
        woken.apns.default = ApnsAnswer()
        assert await woken.import_certificate(woken.authority.push(woken.server.topic)) == 200
        for command in commands:
            await woken.pushed(command["id"])
        assert woken.apns.push_count == len(devices), "each of them once"
        assert "push failed" not in woken.server.log_tail()
