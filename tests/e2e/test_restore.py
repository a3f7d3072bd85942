"""A server that is lost and restored: its devices notice nothing, and nothing is erased twice."""

from __future__ import annotations

import asyncio
import base64
import json
import plistlib
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.device import scep
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer
from tests.trust import backups
from tests.trust.test_moving import Former


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of the test's own."""
    running = start_server(tmp_path / "data")
    yield running
    assert running.stop() == 0


@pytest_asyncio.fixture
async def admin(mortal: RunningServer) -> AsyncIterator[Api]:
    """Its API; no device was ever told to leave."""
    async with mortal.session() as session:
        yield Api(mortal, session)
    assert not mortal.unauthorized, f"401 to a device: {dict(mortal.unauthorized)}"
    assert not mortal.failures, f"500: {dict(mortal.failures)}\n{mortal.log_tail()}"


async def _lose_and_restore(server: RunningServer, file: Path) -> dict[str, Any]:
    """Kill the server, remove its directory, restore it there, and start it."""
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(shutil.rmtree, server.data)
    done = await asyncio.to_thread(backups.restore, file, server.backup_key, server.data)
    assert done.status == 0, done.err
    await asyncio.to_thread(server.start)
    told: dict[str, Any] = json.loads(done.out)
    return told


async def _erase(api: Api, device: Device) -> str:
    confirm = {"serial_number": (await api.device(device.id))["serial_number"] or device.id}
    return await api.queue(device.id, "EraseDevice", confirm=confirm)


async def _answer_all(device: Device) -> list[str]:
    """Take and acknowledge everything; return the CommandUUIDs."""
    taken = []
    command = (await device.idle()).command
    while command is not None:
        taken.append(command.uuid)
        command = (await device.acknowledge(command)).command
    return taken


async def test_h_03_devices_go_on_and_no_erase_is_sent_again(admin: Api, tmp_path: Path) -> None:
    server = admin.server
    devices = [await admin.enroll() for _ in range(3)]
    await devices[0].set_bootstrap_token(b"bootstrap")
    erase = await _erase(admin, devices[1])
    question = await admin.queue(devices[1].id, "ProfileList")
    finished = await admin.queue(devices[2].id, "ProfileList")
    assert await _answer_all(devices[2]) == [finished]
    assert (await devices[0].idle()).command is None

    file = await asyncio.to_thread(backups.create, server, tmp_path / "file.age")
    assert await _answer_all(devices[1]) == [erase, question]  # after the backup
    lost = await admin.queue(devices[0].id, "ProfileList")

    told = await _lose_and_restore(server, file)
    assert [(c["id"], c["held"]) for c in told["commands"]] == [(erase, True), (question, False)]
    assert (told["closed"]["held"], told["closed"]["possibly_repeated"]) == (1, 1)

    assert await devices[0].get_bootstrap_token() == b"bootstrap", "the vault key came along"
    assert await _answer_all(devices[1]) == [question], "the erase is held"
    assert (await devices[1].token_update()).status == 200
    assert await _answer_all(devices[1]) == []
    assert await _answer_all(devices[2]) == []
    again = await admin.queue(devices[2].id, "ProfileList")
    assert await _answer_all(devices[2]) == [again]
    assert (await admin.command(finished))["status"] == "acknowledged"
    assert (await admin.get(f"/api/v1/commands/{lost}")).status == 404
    shown = await admin.command(erase)
    assert (shown["status"], shown["held"], shown["not_before"]) == ("queued", True, None)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_h_03_a_device_that_was_erased_before_the_backup_returns_by_a_link(
    admin: Api, tmp_path: Path, cancelled: bool
) -> None:
    gone, refuses = await admin.enroll(), await admin.enroll()
    for device in (gone, refuses):
        erase = await _erase(admin, device)
        command = (await device.idle()).command
        assert command is not None
        assert command.uuid == erase
        if device is refuses:
            assert (await device.not_now(command)).status == 200
    file = await asyncio.to_thread(backups.create, admin.server, tmp_path / "file.age")
    told = await _lose_and_restore(admin.server, file)
    if cancelled:  # as the documentation says
        for one in told["commands"]:
            assert (await admin.delete(f"/api/v1/commands/{one['id']}")).status == 200
    await gone.enroll_from_profile(await admin.profile())
    assert (await gone.idle()).command is None

    former = refuses.identity
    await refuses.obtain_identity(await admin.profile())
    assert (await refuses.authenticate()).status == 400, "it has its identity still"
    refuses.identity = former
    assert (await refuses.idle()).status == 200


async def test_h_03_every_dangerous_command_is_held_and_no_other(
    admin: Api, tmp_path: Path
) -> None:
    server, former = admin.server, Former(admin)
    device, moved = await admin.enroll(), await former.moved(UnlockToken=b"unlock")
    await former.expect(moved)
    ours = "localhost.appliance.enroll"
    theirs = {"Identifier": "com.github.micromdm.micromdm.enroll"}
    harmless = plistlib.dumps(
        {
            "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadUUID": "A",
            "PayloadIdentifier": "com.example.wifi", "PayloadContent": [],
        }
    )  # fmt: skip
    dangerous: list[tuple[Device, str, dict[str, Any]]] = [
        (device, "EraseDevice", {}),
        (moved, "ClearPasscode", {}),
        (device, "DeviceLock", {}),
        (device, "SetRecoveryLock", {"NewPassword": "secret"}),
        (device, "RemoveProfile", {"Identifier": ours}),
        (device, "InstallProfile", {"Payload": b64encode(await admin.profile()).decode()}),
        (moved, "RemoveProfile", theirs),
    ]
    for target, request_type, parameters in dangerous:
        confirm = {"serial_number": target.serial_number}
        await admin.queue(target.id, request_type, parameters=parameters, confirm=confirm)
    for request_type, parameters in (
        ("ProfileList", {}),
        ("RemoveProfile", theirs),
        ("InstallProfile", {"Payload": b64encode(harmless).decode()}),
    ):
        await admin.queue(device.id, request_type, parameters=parameters)
    file = await asyncio.to_thread(backups.create, server, tmp_path / "file.age")

    told = await _lose_and_restore(server, file)
    held = {(one["target"], one["request_type"]) for one in told["commands"] if one["held"]}
    assert held == {(target.id, request_type) for target, request_type, _ in dangerous}
    assert (told["closed"]["held"], told["closed"]["possibly_repeated"]) == (7, 3)
    assert (await moved.idle()).command is None
    assert len(await _answer_all(device)) == 3


async def test_h_03_a_held_erase_goes_only_when_it_is_confirmed(admin: Api, tmp_path: Path) -> None:
    server = admin.server
    first, second = await admin.enroll(), await admin.enroll()
    kept, dropped = await _erase(admin, first), await _erase(admin, second)
    assert (await first.idle()).command is not None, "sent before, and not yet answered"
    file = await asyncio.to_thread(backups.create, server, tmp_path / "file.age")
    await _lose_and_restore(server, file)

    held = (await admin.get("/api/v1/restored-commands")).json["items"]
    assert {(item["id"], item["held"]) for item in held} == {(kept, True), (dropped, True)}
    path = f"/api/v1/commands/{kept}/release"
    for body in (None, {"confirm": {"serial_number": "WRONG"}}):
        refused = await admin.post(path, body)
        assert (refused.status, refused.json["code"]) == (422, "command.confirmation_required")
    assert (await first.idle()).command is None
    serial = (await admin.device(first.id))["serial_number"] or first.id
    done = await asyncio.to_thread(server.cli, "command", "release", kept, "--confirm", serial)
    assert "released" in done.stderr
    await asyncio.to_thread(server.cli, "command", "cancel", dropped)

    assert await _answer_all(first) == [kept]
    assert await _answer_all(second) == []
    again = await admin.post(path, {"confirm": {"serial_number": serial}})
    assert (again.status, again.json["code"]) == (409, "command.not_held")
    assert (await admin.get("/api/v1/restored-commands")).json["items"] == []


async def test_what_opened_a_door_once_opens_none_after_a_restore(
    admin: Api, tmp_path: Path
) -> None:
    server = admin.server
    link = await admin.new_link(uses=2)
    profile = await admin.download(link)
    file = await asyncio.to_thread(backups.create, server, tmp_path / "file.age")
    await Device(admin.session).enroll_from_profile(profile)  # its challenge is used up now
    told = await _lose_and_restore(server, file)

    assert (told["closed"]["links"], told["closed"]["challenges"]) == (1, 1)
    with pytest.raises(scep.ScepFailure):
        await Device(admin.session).obtain_identity(profile)
    async with admin.session.get(link.profile_url) as response:
        assert response.status in (404, 409, 410)
    assert (await (await admin.enroll()).idle()).status == 200, "a new link works"


async def test_a_device_that_the_backup_does_not_know_is_never_told_to_leave(
    admin: Api, tmp_path: Path
) -> None:
    server = admin.server
    renewed = await admin.enroll()
    file = await asyncio.to_thread(backups.create, server, tmp_path / "file.age")
    late = await admin.enroll()
    assert (await admin.post(f"/api/v1/devices/{renewed.id}/renew-identity")).status == 202
    command = (await renewed.idle()).command
    assert command is not None
    await renewed.enroll_from_profile(command.payload["Payload"])
    await _lose_and_restore(server, file)

    assert (await late.idle()).status == 400
    assert (await late.token_update()).status == 400
    assert (await renewed.idle()).status == 400
    events = (await admin.get("/api/v1/devices/" + renewed.id + "/events")).json["items"]
    assert [event["kind"] for event in events].count("device.unknown") == 1
    await late.enroll_from_profile(await admin.profile())
    assert (await late.idle()).status == 200
    allowed = await admin.post(f"/api/v1/devices/{renewed.id}/allow-reenrollment")
    assert allowed.status == 200, allowed
    await renewed.enroll_from_profile(await admin.profile())
    assert (await renewed.idle()).status == 200


async def test_a_profile_that_renews_an_identity_is_made_anew_after_a_restore(
    admin: Api, tmp_path: Path
) -> None:
    device = await admin.enroll()
    path = f"/api/v1/devices/{device.id}/renew-identity"
    waited = (await admin.post(path)).json["commands"][0]["id"]
    file = await asyncio.to_thread(backups.create, admin.server, tmp_path / "file.age")
    told = await _lose_and_restore(admin.server, file)
    assert (told["closed"]["held"], told["commands"]) == (0, []), "its challenge is void"
    assert (await admin.command(waited))["status"] == "cancelled"
    assert (await device.idle()).command is None
    assert (await admin.device(device.id))["renewal"] == "not_due"

    await admin.post(path)
    command = (await device.idle()).command
    assert command is not None
    before = device.identity
    await device.enroll_from_profile(command.payload["Payload"])
    assert device.identity is not before
    assert (await device.acknowledge(command)).status == 200


async def test_a_profile_for_many_is_read_when_it_is_restored_and_comes_to_each(
    admin: Api, tmp_path: Path
) -> None:
    devices = [await admin.enroll(), await admin.enroll()]
    profile = plistlib.dumps({"PayloadIdentifier": "com.example.net"})
    await admin.enqueue(
        [device.id for device in devices], "InstallProfile",
        parameters={"Payload": base64.b64encode(profile).decode()},
    )  # fmt: skip
    file = await asyncio.to_thread(backups.create, admin.server, tmp_path / "file.age")
    told = await _lose_and_restore(admin.server, file)
    assert (told["closed"]["held"], told["closed"]["possibly_repeated"]) == (0, 2)
    for device in devices:
        command = (await device.idle()).command
        assert command is not None
        assert command.payload["Payload"] == profile
        await device.acknowledge(command)
