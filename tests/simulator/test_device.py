"""A device's manners: what it sends, and what it makes of a server's bad days."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from appliance.simulator.apns import ReceivedPush
from appliance.simulator.channel import Channel
from appliance.simulator.device import Device, Status
from appliance.simulator.faults import Fault
from tests.simulator.fake_mdm import FakeMdm, fake_mdm, kind
from tests.simulator.fleets import Watched, running_fleet

BUSY = 503
CAPABILITIES = ["com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken"]
MAC, MAC_OF_A_NETWORK_USER = 5, 26  # seeds


@pytest_asyncio.fixture
async def mdm(tmp_path: Path) -> AsyncIterator[FakeMdm]:
    async with fake_mdm(tmp_path) as fake:
        yield fake


def push(channel: Channel, magic: str | None = None) -> ReceivedPush:
    return ReceivedPush(
        connection=1, token=channel.token, push_magic=magic or channel.push_magic, headers={}
    )


async def enrolled(mdm: FakeMdm, watched: Watched, **keys: object) -> Device:
    """The only device of a fleet, enrolled."""
    await watched.fleet.enroll(mdm.source(**keys))
    assert watched.journal.enrolled == 1, watched.journal.failures
    return watched.fleet.devices[0]


async def test_a_mac_enrolls_with_all_that_belongs_to_it(mdm: FakeMdm) -> None:
    async with running_fleet(devices=12) as watched:
        await watched.fleet.enroll(mdm.source(ServerCapabilities=CAPABILITIES))
        for device in watched.fleet.devices:
            mine = [each for each in mdm.received if each["UDID"] == device.state.udid]
            types = [each["MessageType"] for each in mine]
            assert types[:2] == ["Authenticate", "TokenUpdate"]
            assert ("SetBootstrapToken" in types) is device.state.is_mac
            assert ("UnlockToken" in mine[1]) is device.state.is_ios
            assert len(mine[1]["Token"]) == 32
            if device.state.console_user and "UserAuthenticate" not in types:
                assert mine[-1]["UserShortName"] == device.state.console_user.short_name
                assert mine[-1]["Token"] != mine[1]["Token"]


async def test_without_the_capabilities_there_is_neither_token_nor_user(mdm: FakeMdm) -> None:
    async with running_fleet(devices=12) as watched:
        await watched.fleet.enroll(mdm.source())
    assert {each["MessageType"] for each in mdm.received} == {"Authenticate", "TokenUpdate"}


@pytest.mark.parametrize("status", [400, 500])
async def test_a_bootstrap_token_that_is_not_taken_undoes_no_enrollment(
    mdm: FakeMdm, status: int
) -> None:
    mdm.script("SetBootstrapToken", *(web.Response(status=status) for _ in range(4)))
    async with running_fleet(seed=MAC) as watched:
        device = await enrolled(mdm, watched, ServerCapabilities=CAPABILITIES)
        (told,) = watched.of("trouble")
        assert f"HTTP {status}" in told["reason"]
        assert [channel.is_user for channel in device.channels] == [False, True]


@pytest.mark.parametrize(
    ("seed", "message", "answers"),
    [
        (MAC, "TokenUpdate", [web.Response(), web.Response(status=410)]),
        (MAC, "TokenUpdate", [web.Response(), *(web.Response(status=500) for _ in range(4))]),
        (MAC_OF_A_NETWORK_USER, "UserAuthenticate", [web.Response(text="<html>")]),
    ],
    ids=["410", "500", "garbage"],
)
async def test_a_user_who_is_refused_has_no_channel_and_the_mac_stays_enrolled(
    mdm: FakeMdm, seed: int, message: str, answers: list[web.Response]
) -> None:
    mdm.script(message, *answers)
    async with running_fleet(seed=seed) as watched:
        device = await enrolled(mdm, watched, ServerCapabilities=CAPABILITIES)
        assert len(watched.of("trouble")) == 1
        assert [channel.is_user for channel in device.channels] == [False]
        assert watched.fleet.push(push(device.channels[0])) is None
        await watched.fleet.settled(0)
    assert len(mdm.of("Idle")) == 1


async def test_a_user_who_is_let_in_by_a_renewal_is_reached_by_push(mdm: FakeMdm) -> None:
    mdm.script("TokenUpdate", web.Response(), web.Response(status=410))
    async with running_fleet(seed=MAC) as watched:
        device = await enrolled(mdm, watched, ServerCapabilities=CAPABILITIES)
        renewed = mdm.source(ServerCapabilities=CAPABILITIES)
        mdm.command("InstallProfile", Payload=renewed.data)
        watched.fleet.wake(device)
        await watched.fleet.settled(0)
        assert watched.fleet.push(push(device.channels[1])) is None


async def test_401_to_a_bootstrap_token_ends_the_enrollment(mdm: FakeMdm) -> None:
    mdm.script("SetBootstrapToken", web.Response(status=401))
    async with running_fleet(seed=MAC) as watched:
        await watched.fleet.enroll(mdm.source(ServerCapabilities=CAPABILITIES))
        assert "401" in watched.of("failed")[0]["reason"]


async def test_a_push_wakes_it_and_it_works_until_nothing_is_left(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.command("DeviceInformation", Queries=["DeviceName"])
        mdm.command("NoSuchCommand")
        assert watched.fleet.push(push(device.channels[0])) is None
        await watched.fleet.settled(0)
        statuses = [each["Status"] for each in mdm.received if "Status" in each]
        assert statuses == ["Idle", "Acknowledged", "Error"]
        assert mdm.of("Acknowledged")[0]["QueryResponses"] == {
            "DeviceName": device.state.device_name
        }


async def test_a_busy_server_is_asked_again(mdm: FakeMdm) -> None:
    mdm.script("Authenticate", web.Response(status=BUSY), web.Response(status=429))
    async with running_fleet() as watched:
        await enrolled(mdm, watched)
    assert len(mdm.of("Authenticate")) == 3


async def test_a_server_that_stays_busy_fails_the_enrollment_with_its_words(mdm: FakeMdm) -> None:
    mdm.script("TokenUpdate", *(web.Response(status=BUSY, text="full up") for _ in range(9)))
    async with running_fleet() as watched:
        await watched.fleet.enroll(mdm.source())
        (failed,) = watched.of("failed")
        assert failed["reason"] == "PUT: HTTP 503, full up"


@pytest.mark.parametrize(
    "answer",
    [(401, ""), (403, json.dumps({"code": "com.apple.unrecognized.device"}))],
    ids=["401", "403"],
)
async def test_told_to_leave_it_leaves_without_a_word(
    mdm: FakeMdm, answer: tuple[int, str]
) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.script("Idle", web.Response(status=answer[0], text=answer[1]))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("unenrolled")))
        assert device.status is Status.LEFT
        assert not mdm.of("CheckOut")
        refused = watched.fleet.push(push(device.channels[0]))
        assert refused is not None
        assert (refused.status, refused.reason) == (410, "Unregistered")


async def test_401_to_authenticate_refuses_the_enrollment(mdm: FakeMdm) -> None:
    mdm.script("Authenticate", web.Response(status=401))
    async with running_fleet() as watched:
        await watched.fleet.enroll(mdm.source())
        assert "401" in watched.of("failed")[0]["reason"]
    assert not mdm.of("TokenUpdate")


async def test_a_report_that_was_not_taken_is_sent_again_before_anything_else(
    mdm: FakeMdm,
) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        command = mdm.command("ProfileList")
        mdm.script("Acknowledged", web.Response(status=400, text="not today"))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("trouble")))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("answered")))
        reports = [each for each in mdm.received if "Status" in each]
        assert [each.get("CommandUUID") for each in reports] == [None, command, command]


async def test_garbage_instead_of_a_command_ends_the_session(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.script("Idle", web.Response(text="<html>"))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("trouble")))
        assert "no command" in watched.of("trouble")[0]["reason"]
        assert device.status is Status.ENROLLED


@pytest.mark.parametrize(
    ("status", "renewal"),
    [
        (200, ["Authenticate", "TokenUpdate", "Acknowledged"]),
        (400, ["Authenticate", "Error"]),
    ],
)
async def test_it_reports_a_renewal_once_it_has_worked_or_failed(
    mdm: FakeMdm, status: int, renewal: list[str]
) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.command("InstallProfile", Payload=mdm.source().data)
        mdm.command("ProfileList")
        mdm.script("Authenticate", web.Response(status=status))
        watched.fleet.wake(device)
        await watched.fleet.settled(0)
        assert device.status is Status.ENROLLED
    assert [kind(each) for each in mdm.received[2:]] == ["Idle", *renewal, "Acknowledged"]
    for failed in mdm.of("Error"):
        assert failed["ErrorChain"][0]["ErrorCode"] == 4013
        assert "Authenticate: HTTP 400" in watched.of("trouble")[0]["reason"]


async def test_401_in_a_renewal_makes_it_leave(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.command("InstallProfile", Payload=mdm.source().data)
        mdm.script("Authenticate", web.Response(status=401))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("unenrolled")))
    assert not [each for each in mdm.received if each.get("CommandUUID")]


async def test_removing_the_profile_ends_in_a_check_out(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.command("RemoveProfile", Identifier="org.example.Configuration")
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("unenrolled")))
    assert [each["MessageType"] for each in mdm.received if "MessageType" in each][-1] == "CheckOut"


async def test_an_erased_device_says_so_once_and_is_gone(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.command("EraseDevice", PIN="123456")
        mdm.script("Acknowledged", web.Response(status=BUSY))
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("unenrolled")))
    assert len(mdm.of("Acknowledged")) == 1
    assert not mdm.of("CheckOut")


async def test_a_locked_device_says_not_now_and_comes_back_when_it_is_unlocked(
    mdm: FakeMdm,
) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        device.state.locked = True
        mdm.command("InviteToProgram", ProgramID="x", InvitationURL="https://example.org/")
        mdm.commands[0]["Command"] = {"RequestType": "InstallProfile", "Payload": b"x"}
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("answered")))
        assert len(mdm.of("NotNow")) == 1
        assert watched.fleet.unlock(device.state.udid)
        await watched.until(lambda: len(watched.of("answered")) == 2)
        assert [each["Status"] for each in mdm.received if "Status" in each] == [
            "Idle", "NotNow", "Idle", "Error",
        ]  # fmt: skip


async def test_without_sign_message_the_identity_is_shown_in_tls(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        await enrolled(mdm, watched, SignMessage=False)
    assert all(shown["subject"] for shown in mdm.shown)


async def test_a_push_for_nobody_or_with_a_wrong_magic_wakes_nobody(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        assert watched.fleet.push(push(device.channels[0], "wrong")) is None
        stranger = ReceivedPush(connection=1, token=b"?", push_magic="", headers={})
        refused = watched.fleet.push(stranger)
        assert refused is not None
        assert (refused.status, refused.reason) == (400, "BadDeviceToken")
        await watched.fleet.settled(0)
    assert not mdm.of("Idle")


async def test_a_silent_device_enrolls_and_takes_no_push(mdm: FakeMdm) -> None:
    async with running_fleet(faults={Fault.SILENT: 1}) as watched:
        device = await enrolled(mdm, watched)
        assert watched.fleet.push(push(device.channels[0])) is None
        await watched.fleet.settled(0)
    assert not mdm.of("Idle")


async def test_a_duplicating_device_sends_each_report_twice(mdm: FakeMdm) -> None:
    async with running_fleet(faults={Fault.DUPLICATE: 1}) as watched:
        device = await enrolled(mdm, watched)
        mdm.command("ProfileList")
        watched.fleet.wake(device)
        await watched.until(lambda: bool(watched.of("answered")))
    first, second = mdm.of("Acknowledged")
    assert first == second


async def test_a_device_that_loses_its_network_delivers_every_answer_in_the_end(
    mdm: FakeMdm,
) -> None:
    async with running_fleet(faults={Fault.LOST_NETWORK: 1}) as watched:
        device = await enrolled(mdm, watched)
        commands = [mdm.command("ProfileList") for _ in range(20)]
        watched.fleet.wake(device)
        await watched.until(lambda: len(watched.of("answered")) == len(commands))
        answered = [each["command_uuid"] for each in watched.of("answered")]
    assert answered == commands
    reported = [each["CommandUUID"] for each in mdm.of("Acknowledged")]
    assert mdm.cut_off > 0
    assert len(reported) > len(commands)  # some answers were lost after the server had them


async def test_a_slow_device_takes_its_time(mdm: FakeMdm) -> None:
    async with running_fleet(faults={Fault.SLOW: 1}, slowness=0.4) as watched:
        device = await enrolled(mdm, watched)
        mdm.command("ProfileList")
        watched.fleet.wake(device)
        before = watched.journal.summary()["seconds"]
        await watched.until(lambda: bool(watched.of("answered")))
        assert watched.journal.summary()["seconds"] - before >= 0.15


async def test_old_and_empty_devices_look_so(mdm: FakeMdm) -> None:
    faults = {Fault.OLD_OS: 12, Fault.LOW_BATTERY: 12}
    async with running_fleet(devices=12, faults=faults) as watched:
        await watched.fleet.enroll(mdm.source())
        for device in watched.fleet.devices:
            assert device.state.battery in (None, 0.04)
    assert {each["OSVersion"] for each in mdm.of("Authenticate")} <= {"12.7.6", "15.8.4"}
