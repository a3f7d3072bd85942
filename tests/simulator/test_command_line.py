"""`appliance simulate` as a process: orders, events, ends and exit statuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.simulator.apns_certificates import ApnsFiles
from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer
from tests.simulator.fleets import PATIENCE_SECONDS, pushing_server

_AT_ONCE_SECONDS = 5.0  # one, and some for a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(tmp_path_factory.mktemp("simulate") / "data")
    yield running
    assert running.stop() == 0


class Simulate:
    """One running `appliance simulate`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                line = await self.process.stdout.readline()
                assert line, f"ended before {kind}"
                event: dict[str, Any] = json.loads(line)
                if event["event"] == kind:
                    return event

    def order(self, **order: Any) -> None:
        """Write one order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def end(self) -> tuple[int, bytes, bytes]:
        """Wait for the end: exit status, the rest of stdout, stderr."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out, err


@contextlib.asynccontextmanager
async def simulate(*arguments: str) -> AsyncIterator[Simulate]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "simulate", *arguments,
        stdin=pipe, stdout=pipe, stderr=pipe,
    )  # fmt: skip
    try:
        yield Simulate(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_parent_gives_orders_and_its_end_stops_everything(tmp_path: Path) -> None:
    async with simulate("--control", "--devices", "3", "--cast", "office") as child:
        push = await child.event("push-server")
        assert push["topic"].startswith("com.apple.mgmt.External.")
        files = ApnsFiles(directory=Path(push["ca_file"]).parent)
        site = await asyncio.to_thread(pushing_server, tmp_path / "data", files, push["port"])
        async with site.session() as session:
            api = Api(site, session)
            link = await api.new_link(uses=3)
            root = str(site.root_file)
            child.order(do="enroll", profile=link.profile_url, ca_file=root)
            enrolled = [await child.event("enrolled") for _ in range(3)]
            assert {"udid", "name", "serial_number"} <= enrolled[0].keys()
            udid = enrolled[0]["udid"]
            queued = await api.queue(udid)
            answered = await child.event("answered")
            assert (answered["udid"], answered["command_uuid"]) == (udid, queued)
            child.order(do="dance")
            assert (await child.event("misunderstood"))["reason"] == "unknown order"
            child.order(do="silence", udid="nobody")
            assert (await child.event("misunderstood"))["reason"] == "no such device"

            assert child.process.stdin is not None
            began = time.monotonic()
            child.process.stdin.close()
            status, _, err = await child.end()
            assert (status, err) == (0, b"")
            assert time.monotonic() - began < _AT_ONCE_SECONDS
        await asyncio.to_thread(site.stop)
    assert not Path(push["ca_file"]).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_at_once_with_a_summary(
    server: RunningServer, number: signal.Signals
) -> None:
    async with server.session() as session:
        link = await Api(server, session).new_link(uses=2)
    common = ["--profile", link.profile_url, "--ca-file", str(server.root_file)]
    common += ["--seed", str(int(number))]  # the server knows the other's devices already
    async with simulate(*common, "--devices", "2", "--json") as child:
        assert child.process.stderr is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(2):
                assert (await child.process.stderr.readline()).startswith(b"enrolled ")
        began = time.monotonic()
        child.process.send_signal(number)
        status, out, _ = await child.end()
        assert time.monotonic() - began < _AT_ONCE_SECONDS
    assert status == 0
    assert json.loads(out)["enrolled"] == 2


async def test_until_idle_works_off_the_queue_and_tells_who_failed(
    server: RunningServer,
) -> None:
    async with server.session() as session:
        api = Api(server, session)
        link = await api.new_link(uses=1)
        arguments = ["--profile", link.profile_url, "--ca-file", str(server.root_file)]
        async with simulate(*arguments, "--devices", "2", "--seed", "3", "--until-idle") as child:
            status, out, err = await child.end()
    assert status == 8, err  # the link was good for one
    assert b"enrolled  1" in out
    assert b"failures: 1x" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], b"--profile is missing"),
        (["--profile", "x", "--fault", "gremlins=3"], b"gremlins"),
        (["--profile", "https://localhost/x", "--cast", "nobody"], b"no such cast"),
        (["--profile", os.devnull], b"not a configuration profile"),
    ],
)
async def test_what_cannot_be_simulated_is_said(arguments: list[str], said: bytes) -> None:
    async with simulate(*arguments) as child:
        status, _, err = await child.end()
    assert status == 2
    assert said in err
