"""Apple's push service is away: nobody who queues commands notices, and nothing piles up."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from appliance.services import push
from appliance.simulator.apns import ApnsAnswer, Fault
from tests.device.device import Device
from tests.device.push import waking
from tests.device.server import Api, RunningServer
from tests.trust.witness import copy_of

_COMMANDS = 40
_HOUR_MS = 3_600_000


async def seconds_to_queue(api: Api, targets: list[str]) -> float:
    """The median of some commands that ask for a push."""
    taken = []
    for number in range(_COMMANDS):
        began = time.monotonic()
        await api.queue(targets[number % len(targets)])
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def pending(data: Path) -> list[tuple[str, int, str]]:
    """Channel, due time and last outcome of each push in the store."""
    with copy_of(data) as db:
        return db.execute("SELECT enrollment_id, due_at, outcome FROM pushes").fetchall()


async def check_waiting(server: RunningServer, targets: list[str], reason: str) -> None:
    """One pending push for each channel, to be tried again within the hour."""
    async with asyncio.timeout(90):
        while not all(reason in str(outcome) for _, _, outcome in pending(server.data)):
            await asyncio.sleep(0.1)
    found = pending(server.data)
    assert sorted(channel for channel, _, _ in found) == sorted(targets)
    now = time.time() * 1000
    assert all(now - 60_000 < due < now + _HOUR_MS for _, due, _ in found), found


async def test_f_03_while_apns_stalls_commands_are_queued_as_quickly_and_then_all_are_woken(
    tmp_path: Path,
) -> None:
    settings = {"APPLIANCE_PUSH__TIMEOUT_SECONDS": "2"}
    async with waking(tmp_path, environment=settings) as woken:
        devices = [await woken.api.enroll() for _ in range(4)]
        targets = [device.id for device in devices]
        usual = await seconds_to_queue(woken.api, targets)
        woken.apns.default = ApnsAnswer(fault=Fault.SILENCE)
        for device in devices:  # whoever comes and goes is to be told of what comes next
            await finish(device)
        stalled = await seconds_to_queue(woken.api, targets)
        assert stalled < 3 * usual + 0.25, (usual, stalled)
        await check_waiting(woken.server, targets, "retry")

        woken.apns.default = ApnsAnswer()
        before = {device.id: woken.pushes_to(device.token) for device in devices}
        async with asyncio.timeout(120):
            while not all(woken.pushes_to(d.token) > before[d.id] for d in devices):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert all(woken.pushes_to(d.token) == before[d.id] + 1 for d in devices), "no storm"


async def finish(device: Device) -> None:
    """Answer all that waits."""
    command = (await device.idle()).command
    while command:
        command = (await device.acknowledge(command)).command


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (
            # A machine without a network would ask for the name for half a minute.
            {"APPLIANCE_PUSH__HOST": "no-such-host.invalid", "RES_OPTIONS": "timeout:1 attempts:1"},
            "cannot connect",
        ),
        ({"APPLIANCE_PUSH__CA_FILE": ""}, "not trusted"),
    ],
    ids=["dns", "tls"],
)
async def test_f_03_without_apns_each_channel_waits_for_one_push(
    tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    async with waking(tmp_path, environment=environment) as woken:
        targets = [(await woken.api.enroll()).id for _ in range(3)]
        assert await seconds_to_queue(woken.api, targets) < 1
        await check_waiting(woken.server, targets, reason)
        assert woken.apns.push_count == 0
        async with woken.api.session.get(f"{woken.server.url}/readyz") as response:
            assert response.status == 200, "devices that come are served"


def test_f_03_retries_are_spread_and_within_an_hour() -> None:
    for attempts in range(40):
        waits = {push._retry_ms(attempts, None) for _ in range(50)}
        assert len(waits) > 10, "a fleet does not come in step"
        assert max(waits) <= _HOUR_MS
    assert push._retry_ms(0, 120) >= 120_000, "what Apple asks for is kept"
