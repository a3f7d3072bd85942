"""kill -9 at any moment: what was answered stays, what was acknowledged does not come back."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from appliance.simulator import keys
from appliance.simulator.profile import Profile
from tests.device import scep
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.scep import Options, ScepClient
from tests.device.server import Api, RunningServer

ROUNDS = int(os.environ.get("ROUNDS", "5"))


@dataclass(kw_only=True)
class Witness:
    """Everything that the server confirmed with a 200."""

    devices: list[Device] = field(default_factory=list)
    certificates: list[int] = field(default_factory=list)
    queued: set[str] = field(default_factory=set)
    acknowledged: dict[str, str] = field(default_factory=dict)  # CommandUUID: a mark in the result
    delivered_again: list[str] = field(default_factory=list)
    bootstrap: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server to be killed; every test leaves it running."""
    running = start_server(tmp_path_factory.mktemp("mortal") / "data")
    yield running
    running.stop()


async def keep_enrolling(api: Api, witness: Witness, profiles: list[bytes]) -> None:
    """Enroll devices until the connection breaks."""
    while profiles:
        device = Device(api.session)
        identity = await device.obtain_identity(profiles.pop())
        witness.certificates.append(identity.certificate.serial_number)
        assert (await device.authenticate()).status == 200
        assert (await device.token_update()).status == 200
        witness.devices.append(device)
        token = os.urandom(32)
        assert (await device.set_bootstrap_token(token)).status == 200
        witness.bootstrap[device.id] = token


async def keep_answering(api: Api, witness: Witness, device: Device) -> None:
    """Queue, fetch and acknowledge commands until the connection breaks."""
    while True:
        witness.queued.add(await api.queue(device.id, push=False))
        command = (await device.idle()).command
        while command:
            if command.uuid in witness.acknowledged:
                witness.delivered_again.append(command.uuid)
            mark = os.urandom(8).hex()
            reply = await device.acknowledge(command, Mark=mark)
            following = reply.command  # asserts the 200
            witness.acknowledged[command.uuid] = mark
            command = following


async def until_lost(work: asyncio.Future[None] | asyncio.Task[None]) -> None:
    """Wait for the work, which ends with the connection."""
    try:
        await work
    except (aiohttp.ClientError, TimeoutError, OSError):
        return


async def one_round(server: RunningServer, witness: Witness) -> None:
    """Let it work for a moment, kill it, start it again."""
    async with server.session() as session:
        api = Api(server, session)
        link = await api.new_link(uses=50)
        profiles = [await api.download(link) for _ in range(10)]
        busy = [await api.enroll(Device(session)) for _ in range(2)]
        witness.devices += busy
        works = [
            asyncio.create_task(until_lost(asyncio.ensure_future(work)))
            for work in (
                keep_enrolling(api, witness, profiles),
                *(keep_answering(api, witness, device) for device in busy),
            )
        ]
        await asyncio.sleep(random.uniform(0.1, 0.6))  # noqa: S311 - a moment, not a secret
        await asyncio.to_thread(server.kill)
        await asyncio.gather(*works)
    await asyncio.to_thread(server.start)


async def check(server: RunningServer, witness: Witness) -> None:
    """Everything confirmed is still there."""
    async with server.session() as session:
        api = Api(server, session)
        for device in witness.devices:
            device.session = session
            assert (await api.device(device.id))["enrolled"] is True
            command = (await device.idle()).command
            while command:
                assert command.uuid not in witness.acknowledged, "delivered again"
                command = (await device.acknowledge(command)).command
            if device.id in witness.bootstrap:
                assert await device.get_bootstrap_token() == witness.bootstrap[device.id]
        for command_uuid in witness.queued:
            shown = await api.command(command_uuid)
            assert shown["status"] == "acknowledged", shown
            if command_uuid in witness.acknowledged:
                assert shown["result"]["Mark"] == witness.acknowledged[command_uuid]


@pytest.mark.timeout(60 + 20 * ROUNDS)
async def test_nothing_that_was_answered_is_lost_to_kill_9(mortal: RunningServer) -> None:
    witness = Witness()
    for _ in range(ROUNDS):
        await one_round(mortal, witness)
    await check(mortal, witness)
    assert not witness.delivered_again
    assert witness.acknowledged
    serials = witness.certificates
    assert len(set(serials)) == len(serials)


@pytest.mark.timeout(90)
async def test_b13_after_kill_9_the_same_request_gets_the_same_certificate(
    mortal: RunningServer,
) -> None:
    async with mortal.session() as session:
        profile = Profile.read(await Api(mortal, session).profile())
        client = ScepClient(session, profile.scep["URL"])
        key = keys.rsa_key()
        name = keys.name(("CN", "device"))
        signer = keys.self_signed(name, key)
        request = scep.certificate_request(key, name, profile.scep["Challenge"])
        ca = await client.authority()
        message = scep.pki_message(request, ca, signer, Options())
        first = await client.exchange(message, ca)
    await asyncio.to_thread(mortal.kill)
    await asyncio.to_thread(mortal.start)
    async with mortal.session() as session:
        again = await ScepClient(session, profile.scep["URL"]).exchange(message, ca)
    assert again.certificates[0] == first.certificates[0]


def strace() -> str:
    """Path of strace, where this machine lets it trace."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("not installed: strace")
    probe = subprocess.run([path, "-o", os.devnull, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here")
    return path


@pytest.mark.timeout(120)
async def test_the_disk_has_it_before_the_reply_leaves(mortal: RunningServer) -> None:
    path = strace()
    trace = mortal.data.parent / "trace"
    assert await asyncio.to_thread(mortal.stop) == 0
    calls = "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"
    # -D: the server stays our child; -yy: descriptors are printed with what they are.
    wrapper = [path, "-D", "-f", "-yy", "-s", "0", "-e", calls, "-o", str(trace)]
    await asyncio.to_thread(mortal.start, wrapper=wrapper)
    async with mortal.session() as session:
        api = Api(mortal, session)
        device = await api.enroll(Device(session))
        for _ in range(10):
            queued = await api.queue(device.id, push=False)
            await asyncio.sleep(0.1)
            start = len(trace.read_text())
            assert (await device.acknowledge(queued)).status == 200
            await asyncio.sleep(0.1)
            order = kinds(trace.read_text()[start:])
            assert "reply" in order
            before = order[: order.index("reply")]
            assert "log" in before, order
            assert "sync" in before[before.index("log") :], order
    assert await asyncio.to_thread(mortal.stop) == 0
    await asyncio.to_thread(mortal.start)


def kinds(trace: str) -> list[str]:
    """What a trace tells, in order: log written, disk synced, reply sent."""
    found = []
    for line in trace.splitlines():
        if re.search(r"pwrite64\(\d+<[^>]*-wal>", line):
            found.append("log")
        elif re.search(r"f(data)?sync.*= 0$", line):  # where the call returns
            found.append("sync")
        elif re.search(r"(write|writev|sendto|sendmsg)\(\d+<TCP", line):
            found.append("reply")
    return found
