"""A held command: not sent and not pushed before its time, and undone without a trace."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.push import Woken, until
from tests.device.server import Api, RunningServer
from tests.e2e.test_push import woken

__all__ = ["woken"]


async def _held(api: Api, target: str, *, seconds: float = 1.0) -> tuple[str, datetime]:
    (queued,) = await api.enqueue(target, "SecurityInfo", undo_seconds=seconds)
    return queued["id"], datetime.fromisoformat(queued["not_before"])


async def _idle_until_it_comes(device: Device) -> datetime:
    """Ask for commands as a restless device would; return when one came."""
    async with asyncio.timeout(60):
        while (await device.idle()).command is None:
            await asyncio.sleep(0.02)
    return datetime.now().astimezone()


async def test_a_held_command_does_not_stop_later_ones(api: Api, device: Device) -> None:
    held, not_before = await _held(api, device.id, seconds=60)
    later = await api.queue(device.id)
    reply = await device.idle()
    assert reply.command is not None and reply.command.uuid == later
    assert (await device.acknowledge(reply.command)).command is None
    shown = await api.command(held)
    assert (shown["status"], datetime.fromisoformat(shown["not_before"])) == ("queued", not_before)


async def test_a_held_command_comes_at_its_time(api: Api, device: Device) -> None:
    held, not_before = await _held(api, device.id)
    assert await _idle_until_it_comes(device) >= not_before
    assert (await api.command(held))["status"] == "sent"


async def test_a_held_command_that_is_undone_is_never_sent(woken: Woken) -> None:
    device = await woken.api.enroll()
    held, _ = await _held(woken.api, device.id, seconds=4)
    undone = await woken.api.delete(f"/api/v1/commands/{held}")
    assert (undone.status, undone.json["status"]) == (200, "cancelled")
    marker, _ = await _held(woken.api, (other := await woken.api.enroll()).id, seconds=4)
    await until(lambda: woken.pushes_to(other.token) == 1)
    assert woken.pushes_to(device.token) == 0, "it would have been released before, and announced"
    assert (await device.idle()).command is None
    assert (await woken.api.command(marker))["status"] == "queued"


async def test_a_held_command_is_announced_when_it_is_released(woken: Woken) -> None:
    device = await woken.api.enroll()
    held, not_before = await _held(woken.api, device.id)
    await until(lambda: woken.pushes_to(device.token) == 1)
    assert datetime.now().astimezone() >= not_before
    await woken.pushed(held)
    shown = await woken.api.command(held)
    assert datetime.fromisoformat(shown["pushed_at"]) >= not_before


async def test_a_push_for_another_command_does_not_swallow_that_of_a_held_one(
    woken: Woken,
) -> None:
    device = await woken.api.enroll()
    held, not_before = await _held(woken.api, device.id, seconds=5)
    other = await woken.api.queue(device.id)
    await woken.pushed(other)
    assert datetime.now().astimezone() < not_before
    assert (await woken.api.command(held))["pushed_at"] is None
    reply = await device.idle()
    assert reply.command is not None and reply.command.uuid == other
    assert (await device.acknowledge(reply.command)).command is None

    await until(lambda: woken.pushes_to(device.token) == 2)
    await woken.pushed(held)
    reply = await device.idle()
    assert reply.command is not None and reply.command.uuid == held


async def test_a_token_update_does_not_release_what_is_held(woken: Woken) -> None:
    device = await woken.api.enroll()
    _, not_before = await _held(woken.api, device.id)
    assert (await device.token_update()).status == 200
    await until(lambda: woken.pushes_to(device.token) == 1)
    assert datetime.now().astimezone() >= not_before


async def _killed_in_the_hold(server: RunningServer, seconds: float) -> tuple[Device, str] | None:
    """Kill and start it while a command is held; None if the machine took longer than that."""
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        held, not_before = await _held(api, device.id, seconds=seconds)
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    async with server.session() as session:
        device.session = session
        early = (await device.idle()).command
        if datetime.now().astimezone() >= not_before:
            return None
        assert early is None
        assert await _idle_until_it_comes(device) >= not_before
    return device, held


async def test_killed_during_the_hold_it_is_sent_once_and_not_early(tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_server, tmp_path / "data")
    try:
        found = None
        for seconds in (5, 20, 60):
            found = found or await _killed_in_the_hold(server, seconds)
        assert found, "it never started within the hold"
        device, held = found
        async with server.session() as session:
            device.session = session
            reply = await device.idle()
            assert reply.command is not None and reply.command.uuid == held
            assert (await device.acknowledge(reply.command)).command is None
            assert (await device.idle()).command is None
    finally:
        await asyncio.to_thread(server.stop)
