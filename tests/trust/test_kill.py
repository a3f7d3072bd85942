"""kill -9 at any moment: what was answered stays, what was acknowledged does not come back."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance import resources
from appliance.simulator import keys
from appliance.simulator.profile import Profile
from tests.device import scep
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.scep import Options, ScepClient
from tests.device.server import PROGRAM, Api, RunningServer
from tests.programs import program
from tests.trust.rounds import record, rounds, spread
from tests.trust.timing import slowness
from tests.trust.witness import Witness, copy_of, until_lost

CLIENTS = 8
READY_SECONDS = 2.0
CURRENT = max(int(name[:4]) for name in resources.names("store/migrations") if name[0].isdigit())


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server to be killed; every test leaves it running."""
    running = start_server(tmp_path_factory.mktemp("mortal") / "data")
    yield running
    running.stop()


class Office:
    """Two devices that work, one that never comes, and what the server confirmed of them."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.witness = Witness()
        self.busy: list[Device] = []
        self.ready_seconds: list[float] = []
        self.start_seconds: list[float] = []  # of processor time

    async def open(self) -> None:
        """Enroll the devices."""
        async with self.server.session() as session:
            api = Api(self.server, session)
            self.busy = [await api.enroll() for _ in range(2)]
            self.away = await api.enroll()
            self.witness.devices += [*self.busy, self.away]
            for device in self.busy:
                self.witness.tokens[device.id] = [device.token]

    async def one_round(self) -> None:
        """Let it work for a moment, kill it, look at what is on the disk, start it again."""
        async with self.server.session() as session:
            api = Api(self.server, session)
            profiles = [await api.profile() for _ in range(2)]
            for device in self.busy:
                device.session = session
            works = [asyncio.create_task(until_lost(work)) for work in self._works(api, profiles)]
            await asyncio.sleep(random.uniform(0.05, 0.6))  # noqa: S311 - a moment, not a secret
            await asyncio.to_thread(self.server.kill)
            await asyncio.gather(*works)
        await asyncio.to_thread(self.witness.check_store, self.server.data)
        began = time.monotonic()
        await asyncio.to_thread(self.server.start)
        self.ready_seconds.append(time.monotonic() - began)
        self.start_seconds.append(processor_seconds(self.server))

    def _works(self, api: Api, profiles: list[bytes]) -> list[Coroutine[Any, Any, None]]:
        witness = self.witness

        async def enroll() -> None:
            for profile in profiles:
                await witness.enroll(api, profile)

        async def repeat(step: Callable[[], Awaitable[None]]) -> None:
            while True:
                await step()

        return [
            enroll(),
            repeat(partial(witness.erase, api, self.away)),
            *(repeat(partial(witness.answer_all, device)) for device in self.busy),
            *(repeat(partial(witness.escrow, device)) for device in self.busy),
            *(
                repeat(partial(witness.enqueue, api, self.busy[number % 2]))
                for number in range(CLIENTS)
            ),
        ]

    async def check(self) -> None:
        """Everything confirmed is there for those who ask, and nothing comes again."""
        async with self.server.session() as session:
            api = Api(self.server, session)
            for device in self.witness.devices:
                device.session = session
                assert (await api.device(device.id))["enrolled"] is True
            for device in self.busy:
                await self.witness.answer_all(device)
                expected = self.witness.bootstrap.get(device.id, [b""])
                assert await device.get_bootstrap_token() in expected
            for command_uuid in self.witness.queued:
                shown = await api.command(command_uuid)
                assert shown["status"] == "acknowledged", shown


@pytest.mark.timeout(180 + 20 * rounds(10))
async def test_e_01_e_03_nothing_that_was_answered_is_lost_to_kill_9(mortal: RunningServer) -> None:
    office = Office(mortal)
    await office.open()
    for _ in range(rounds(10)):
        await office.one_round()
    await office.check()
    witness = office.witness
    assert not witness.delivered_again
    assert witness.statuses <= {200, 202}
    assert witness.acknowledged
    assert witness.erases
    assert len(set(witness.certificates)) == len(witness.certificates)
    # Of the processor: how long one waits for it is the machine's affair.
    limit = READY_SECONDS * slowness()
    assert statistics.median(office.start_seconds) < limit, office.start_seconds
    record(
        "E-01/E-03 kill -9 at work", rounds=rounds(10), confirmed=witness.confirmed,
        acknowledged=len(witness.acknowledged), certificates=len(witness.certificates), lost=0,
        delivered_again=0, ready=spread(office.ready_seconds),
        processor=spread(office.start_seconds),
    )  # fmt: skip


def processor_seconds(server: RunningServer) -> float:
    """What the server has used of the processor (proc(5): fields 14 and 15 of stat)."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_release(data: Path, *, devices: int, commands: int) -> None:
    """Give a data directory a store as the first release left it."""
    with closing(sqlite3.connect(data / "appliance.db")) as db:
        settings = db.execute("SELECT key, value FROM settings").fetchall()
    for path in data.glob("appliance.db*"):
        path.unlink()
    with closing(sqlite3.connect(data / "appliance.db")) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(resources.text("store/migrations/0001_initial.sql"))
        db.execute("PRAGMA user_version = 1")
        db.executemany("INSERT INTO settings (key, value) VALUES (?, ?)", settings)
        db.executemany(
            "INSERT INTO enrollments (id, type, state, last_seen_at) VALUES (?, 'device',"
            " 'enrolled', 0)",
            [(f"D{number}",) for number in range(devices)],
        )
        db.executemany(
            "INSERT INTO commands (uuid, enrollment_id, request_type, payload, status, queued_at,"
            " finished_at) VALUES (?, ?, 'ProfileList', ?, 'acknowledged', 1, 2)",
            [(f"U{n}", f"D{n % devices}", b"x" * 1500) for n in range(commands)],
        )
    (data / "appliance.db").chmod(0o600)


@pytest.mark.timeout(180 + 20 * rounds(3))
def test_e_01_kill_9_during_a_migration(tmp_path: Path) -> None:
    template = RunningServer(tmp_path / "template")
    template.initialise()
    first_release(template.data, devices=1000, commands=40_000)
    cut_short = 0
    for number in range(rounds(3)):
        server = RunningServer(tmp_path / f"data-{number}")
        shutil.copytree(template.data, server.data)
        cut_short += not kill_while_starting(server, random.uniform(0, 1))  # noqa: S311
        server.start()
        server.kill()
        assert counts(server.data) == (CURRENT, 1000, 40_000)
        shutil.rmtree(server.data)
    record("E-01 kill -9 during a migration", rounds=rounds(3), cut_short=cut_short, lost=0)


def kill_while_starting(server: RunningServer, seconds: float) -> bool:
    """Start it, kill it after a moment; tell whether its store had been migrated by then."""
    arguments = ["serve", "--data", str(server.data), "--listen", f"127.0.0.1:{server.port}"]
    process = subprocess.Popen([*PROGRAM, *arguments], stderr=subprocess.DEVNULL)
    while not (server.data / "appliance.db-wal").exists():  # it has opened the store
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.wait(60)
    version, devices, commands = counts(server.data)
    assert version in (1, CURRENT)
    assert (devices, commands) == (1000, 40_000)
    return version == CURRENT


def counts(data: Path) -> tuple[int, int, int]:
    """Schema, devices and commands of a whole store."""
    with copy_of(data) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (devices,) = db.execute("SELECT count(*) FROM enrollments").fetchone()
        (commands,) = db.execute("SELECT count(*) FROM commands").fetchone()
        return version, devices, commands


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


@pytest.mark.timeout(180 + rounds(30))
async def test_e_04_the_disk_has_it_before_the_reply_leaves(mortal: RunningServer) -> None:
    strace, samples = program("strace"), rounds(30)
    trace = mortal.data.parent / "trace"
    assert await asyncio.to_thread(mortal.stop) == 0
    calls = "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"
    # -D: the server stays our child; -yy: descriptors are printed with what they are.
    wrapper = [strace, "-D", "-f", "-yy", "-s", "0", "-e", calls, "-o", str(trace)]
    await asyncio.to_thread(mortal.start, wrapper=wrapper)
    async with mortal.session() as session:
        api = Api(mortal, session)
        device = await api.enroll(Device(session))
        waiting = [await api.queue(device.id, push=False) for _ in range(samples)]
        await device.idle()
        start = len(await settled(trace))
        for command_uuid in waiting:
            assert (await device.acknowledge(command_uuid)).status == 200
        order = kinds((await settled(trace))[start:])
    assert await asyncio.to_thread(mortal.stop) == 0
    await asyncio.to_thread(mortal.start)
    replies = " ".join(order).split("reply")[:-1]
    assert len(replies) >= samples
    early = [before for before in replies if not re.search(r"log .*sync", before)]
    assert not early, f"{len(early)} of {len(replies)} replies left before the disk had it"
    record("E-04 fdatasync before the reply", replies=len(replies), early=0)


async def settled(trace: Path) -> str:
    """What strace has written, once it writes no more."""
    size, looks = -1, 0
    while looks < 5:  # one is not enough where strace waits for the processor
        looks = looks + 1 if size == trace.stat().st_size else 0
        size = trace.stat().st_size
        await asyncio.sleep(0.2)
    return trace.read_text()


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
