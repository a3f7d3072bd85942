"""Disks that fail, fill up or are slow: no answer promises what is not stored."""

from __future__ import annotations

import asyncio
import errno
import itertools
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer
from tests.programs import only_root, program
from tests.trust.rounds import record, rounds
from tests.trust.strace import injected, injecting
from tests.trust.witness import Witness, until_lost

ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
CALLS = ("pwrite64", "fdatasync")
FAILED = 1
MOST_OPERATIONS = 400
MOST_PAUSE_SECONDS = 5.0
LONGEST_FIRST_RETRY_SECONDS = 3.5  # of a push


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose disk is made to fail; every test leaves it running."""
    running = start_server(tmp_path_factory.mktemp("failing") / "data")
    yield running
    assert running.stop() == 0


class Office:
    """One device that works, one that does not come, and what was confirmed of them."""

    def __init__(self, api: Api, device: Device, away: Device) -> None:
        self.api, self.device, self.away = api, device, away
        self.witness = Witness()
        self.witness.devices += [device, away]
        self.witness.tokens[device.id] = [device.token]

    async def work(self, most: int) -> None:
        """Some operations after each other, whatever they are answered."""
        for _ in range(most):
            await self.witness.enqueue(self.api, self.device)
            await self.witness.answer_all(self.device)
            await self.witness.erase(self.api, self.away)
            await self.witness.escrow(self.device)


@pytest.fixture
async def office(failing: RunningServer) -> AsyncIterator[Office]:
    """Devices enrolled before anything fails."""
    async with failing.session() as session:
        api = Api(failing, session)
        yield Office(api, await api.enroll(), await api.enroll())


def faults() -> list[tuple[str, str, int]]:
    """The n-th call that fails, and how: all combinations in turn, n from 1 to the number."""
    combinations = [*itertools.product(CALLS, ERRORS), ("openat", "EIO")]
    count = rounds(9)
    return [
        (*combinations[n % len(combinations)], n + 1 if count > len(combinations) else 3 * n + 1)
        for n in range(count)
    ]


@pytest.mark.timeout(180 + 20 * rounds(9))
async def test_e_07_no_answer_promises_what_a_failing_disk_did_not_take(
    failing: RunningServer, office: Office
) -> None:
    ends: Counter[str] = Counter()
    for call, error, number in faults():
        ends[f"{call} {error}: {await one_fault(failing, office, call, error, number)}"] += 1
    assert any("ended" in end for end in ends)
    assert any("went on" in end for end in ends)
    for end, count in sorted(ends.items()):
        record("E-07 " + end, points=count, false_200=0)
    record("E-07 in all", points=sum(ends.values()), confirmed=office.witness.confirmed)


async def one_fault(
    server: RunningServer, office: Office, call: str, error: str, number: int
) -> str:
    """Let the n-th call fail under work; tell what the server did."""
    log = server.log.stat().st_size
    async with injected(server, call, f"error={error}:when={number}") as injection:
        work = asyncio.create_task(
            until_lost(office.work(MOST_OPERATIONS if call in CALLS else 10))
        )
        while not work.done() and not injection.hits:
            await asyncio.sleep(0.02)
        await asyncio.wait({work}, timeout=0.1)
        work.cancel()
        await asyncio.wait({work})
        hit = injection.hits > 0
    assert office.witness.statuses <= {200, 202, 503}, (call, error, office.witness.statuses)
    status = await asyncio.to_thread(ended, server)
    office.witness.check_store(server.data)
    assert not office.witness.delivered_again
    said = server.log.read_text(errors="replace")[log:]
    assert "Traceback" not in said or call == "openat", "a library may be loaded then"
    if status is not None:
        assert status == FAILED
        assert said.count("the store failed: nothing is written any more") == 1
        assert "error[store.failed]" in said
        await asyncio.to_thread(server.start)
        return "ended, to be started again"
    before = len(office.witness.queued)
    await office.witness.enqueue(office.api, office.device)
    assert len(office.witness.queued) == before + 1, "it can write again"
    return "went on" if hit else "not reached"


def ended(server: RunningServer) -> int | None:
    """The exit status of a server that ends by itself; None if it goes on."""
    assert server.process is not None
    for _ in range(10):  # a busy machine may take its time to say it
        said = "the store failed" in server.log_tail().rpartition("ready")[2]
        with suppress(subprocess.TimeoutExpired):
            return server.process.wait(MOST_PAUSE_SECONDS + 10 if said else 0.1)
        if said:
            break
    return None


@pytest.mark.timeout(180 + 10 * rounds(8))
async def test_e_07_a_start_on_a_failing_disk_says_so_or_succeeds(failing: RunningServer) -> None:
    program("strace")  # before the server stops
    assert await asyncio.to_thread(failing.stop) == 0
    combinations = list(itertools.product(("openat", "pwrite64", "fdatasync", "rename"), ERRORS))
    ends: Counter[int] = Counter()
    for number in range(rounds(8)):
        call, error = combinations[(5 * number) % len(combinations)]
        nth = 1 + number // len(combinations) if rounds(8) > 16 else 1 + number % 3
        ends[await asyncio.to_thread(start_with, failing, call, error, nth)] += 1
    await asyncio.to_thread(failing.start)
    record("E-07 at the start", points=rounds(8), exits=dict(ends))


def start_with(server: RunningServer, call: str, error: str, number: int) -> int:
    """Start it with one call failing on a file of the data directory; returns the exit status."""
    paths = [server.data, *server.data.rglob("*")]
    paths += [server.data / f"appliance.db{end}" for end in ("-wal", "-shm")]
    named = [word for path in paths if not path.is_socket() for word in ("-P", str(path))]
    wrapper = injecting(call, f"error={error}:when={number}", *named)
    log = server.log.stat().st_size
    try:
        server.start(wrapper=wrapper)
        return server.stop()
    except Exception:
        assert server.process is not None
        said = server.log.read_text(errors="replace")[log:]
        assert re.search(r"^error\[[a-z_.]+\]: ", said, re.MULTILINE), said
        assert "Traceback" not in said, said
        assert server.process.returncode in (1, 2, 3, 7, 12), said
        return server.process.returncode


async def test_f_13_a_slow_disk_makes_answers_slow_and_nothing_else(
    failing: RunningServer, office: Office
) -> None:
    asked: list[float] = []
    async with injected(failing, "fdatasync", "delay_enter=200000"):
        work = asyncio.create_task(office.work(4))
        while not work.done():
            began = time.monotonic()
            async with office.api.session.get(f"{failing.url}/healthz") as response:
                assert response.status == 200
            asked.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
        await work
    assert office.witness.statuses <= {200, 202}
    assert len(office.witness.acknowledged) == 4
    assert not office.witness.delivered_again
    assert statistics.median(asked) < 0.25, "the loop does not wait for the disk"
    office.witness.check_store(failing.data)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose data directory is on a disk of 24 MB.

    Not below pytest's own folders: it could not remove them after a run that was killed.
    """
    only_root("mount")
    disk = Path(tempfile.mkdtemp(prefix="appliance-small-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", disk], check=True)
    try:
        running = start_server(disk / "data")
        running.log = tmp_path / "server.log"
        running.stop()
        running.start()
        yield running
        running.stop()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


def fill(disk: Path) -> Path:
    """Take all that is left, by a file; returns it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


async def test_a_full_disk_is_said_and_overcome(small_disk: RunningServer) -> None:
    server = small_disk
    async with server.session() as session:
        api = Api(server, session)
        office = Office(api, await api.enroll(), await api.enroll())
        await office.work(2)
        filler = fill(server.data.parent)
        log = server.log.stat().st_size
        for _ in range(40):
            await office.work(1)
        assert office.witness.statuses == {200, 202, 503}
        answer = await refused(api, office.away)
        assert int(answer["Retry-After"]) > 0
        async with session.get(f"{server.url}/readyz") as response:
            assert response.status == 503
            assert "cannot write" in await response.text()
        async with session.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        overview = (await api.get("/api/v1/status")).json
        assert any("cannot write" in problem for problem in overview["problems"])
        assert server.log.stat().st_size - log < 60_000, "the log must not fill what is left"
        filler.unlink()
        before = len(office.witness.queued)
        await office.work(1)
        assert len(office.witness.queued) == before + 1
        async with session.get(f"{server.url}/readyz") as response:
            assert response.status == 200
        office.witness.check_store(server.data)
        assert not office.witness.delivered_again


async def refused(api: Api, device: Device) -> dict[str, str]:
    """Queue commands until one is refused for want of space; returns the answer's headers."""
    body = {"targets": [device.id], "request_type": "ProfileList", "push": False}
    headers = {"Authorization": f"Bearer {api.token}"}
    for _ in range(200):
        async with api.session.post(
            f"{api.server.url}/api/v1/commands", json=body, headers=headers
        ) as response:
            if response.status == 503:
                return dict(response.headers)
    raise AssertionError("nothing was refused")


async def test_a_push_that_is_due_on_a_full_disk_ends_no_server(small_disk: RunningServer) -> None:
    """Nobody answers at the push server; that this failed cannot be stored."""
    server = small_disk
    async with server.session() as session:
        api = Api(server, session)
        device, other = await api.enroll(), await api.enroll()
        await api.queue(device.id)
        while (await api.device(device.id))["push_outcome"] is None:
            await asyncio.sleep(0.05)
        filler = fill(server.data.parent)
        await refused(api, other)
        await asyncio.sleep(LONGEST_FIRST_RETRY_SECONDS)
        async with session.get(f"{server.url}/healthz") as response:
            assert response.status == 200
        filler.unlink()
        async with asyncio.timeout(90):
            while not await asyncio.to_thread(server._ready):
                await asyncio.sleep(0.5)
        assert await api.queue(device.id)


def test_a_start_on_a_full_disk_says_what_to_do(small_disk: RunningServer) -> None:
    assert small_disk.stop() == 0
    filler = fill(small_disk.data.parent)
    done = small_disk.cli("serve", "--listen", f"127.0.0.1:{small_disk.port}", check=False)
    assert done.returncode == 7, done.stderr
    assert "free some space" in done.stderr
    filler.unlink()
    small_disk.start()


async def test_e_10_a_store_that_another_process_locks_is_busy_and_recovers(
    failing: RunningServer, office: Office
) -> None:
    intruder = sqlite3.connect(failing.data / "appliance.db", isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    try:
        waits: list[float] = []
        asked: list[float] = []

        async def ask() -> None:
            began = time.monotonic()
            await office.witness.enqueue(office.api, office.device)
            waits.append(time.monotonic() - began)

        asking = [asyncio.create_task(ask()) for _ in range(10)]
        while not all(task.done() for task in asking):
            began = time.monotonic()
            async with office.api.session.get(f"{failing.url}/healthz") as response:
                assert response.status == 200
            asked.append(time.monotonic() - began)
            if len(asking) < 20:  # some come while others wait
                asking.append(asyncio.create_task(ask()))
            await asyncio.sleep(0.1)
        await asyncio.gather(*asking)
    finally:
        intruder.execute("ROLLBACK")
        intruder.close()
    assert office.witness.statuses == {503}
    assert statistics.median(asked) < 0.5, "the loop waits for nobody"
    assert statistics.median(waits) < 8, "five seconds, and some for a busy machine"
    await office.work(1)
    assert office.witness.statuses == {200, 202, 503}
    office.witness.check_store(failing.data)


async def test_damage_under_a_running_server_is_named_and_found_again_at_the_start(
    tmp_path: Path,
) -> None:
    server = await asyncio.to_thread(start_server, tmp_path / "data", push_certificate=False)
    database = server.data / "appliance.db"
    with database.open("r+b") as file:
        file.seek(4096)
        size = database.stat().st_size
        file.write(random.randbytes(size - 4096))  # noqa: S311
    async with server.session() as session:
        answer = await Api(server, session).get("/api/v1/devices")
        assert answer.status in (500, 503), answer
    assert server.process is not None
    server.stop()
    done = server.cli("serve", "--listen", f"127.0.0.1:{server.port}", check=False)
    assert done.returncode == 12, done.stderr
    assert "error[store.damaged]" in done.stderr
    shutil.rmtree(server.data)
