"""Load: crowds, slow clients, too few descriptors; a device and the health pages get through."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, UnixConnector

from tests.device.push import until, waking
from tests.device.server import Api, RunningServer, free_port
from tests.trust.crowd import Answer, Line, Member, Record, seed, visit
from tests.trust.timing import quickest

_DEVICES = 300
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: MIAA\r\nContent-Length: 5000\r\n"


class _Crowded:
    """A server with a crowd of devices."""

    def __init__(self, server: RunningServer, members: list[Member]) -> None:
        self.server = server
        self.members = members
        self.tls = server.tls

    async def lines(self, count: int) -> list[Line]:
        """Open connections; those that the server closes meanwhile are not among them."""
        opened = await asyncio.gather(
            *(Line.open(self.server.port, self.tls) for _ in range(count)), return_exceptions=True
        )
        return [line for line in opened if isinstance(line, Line)]

    async def ask(self, request: bytes, *, port: int = 0) -> tuple[Answer, float]:
        """One request on a new connection, with the seconds that it took."""
        began = time.monotonic()
        line = await Line.open(port or self.server.port, self.tls)
        answer = await line.ask(request, seconds=60)
        line.close()
        return answer, time.monotonic() - began

    async def visit(self) -> None:
        """A device connects."""
        answer, _ = await self.ask(self.members[0].report())
        assert answer.status == 200

    def log_lines(self) -> list[str]:
        """The log so far."""
        return self.server.log.read_text(errors="replace").splitlines()


@asynccontextmanager
async def _crowded(
    folder: Path,
    *,
    devices: int = 1,
    wrapper: tuple[str, ...] = (),
    admin_port: int = 0,
    **limits: object,
) -> AsyncIterator[_Crowded]:
    environment = {f"APPLIANCE_LIMITS__{name.upper()}": str(n) for name, n in limits.items()}
    if admin_port:
        environment["APPLIANCE_SERVER__ADMIN_LISTEN"] = f"127.0.0.1:{admin_port}"
    server = RunningServer(folder / "data", environment=environment)
    server.initialise()
    members = seed(server.data, server.topic, devices)
    server.start(wrapper=wrapper)
    try:
        yield _Crowded(server, members)
    finally:
        assert server.stop() == 0
        await asyncio.sleep(0.1)  # asyncio closes what broke off in its next turns


def _token(member: Member) -> bytes:
    return member.udid.replace("-", "").encode()


def _close(lines: list[Line]) -> None:
    for line in lines:
        line.close()


async def test_f_01_a_fleet_that_comes_back_at_once_is_served(tmp_path: Path) -> None:
    async with _crowded(tmp_path, devices=_DEVICES) as crowd:
        async with crowd.server.session() as session:
            chosen = [member.udid for member in crowd.members[::5]]
            queued = await Api(crowd.server, session).enqueue(chosen, "ProfileList", push=False)
        commands = {entry["target"]: entry["id"] for entry in queued}
        record = Record()

        def device(member: Member) -> asyncio.Task[None]:
            uuid_ = commands.get(member.udid, "")
            results = {uuid_: member.report("Acknowledged", CommandUUID=uuid_)} if uuid_ else {}
            port = crowd.server.port
            return asyncio.create_task(visit(port, crowd.tls, member.report(), results, record))

        await asyncio.gather(*(device(member) for member in crowd.members))
        assert record.wrong == []
        assert record.delivered == len(commands) == _DEVICES // 5
        assert len(record.waits) == _DEVICES
        assert max(record.waits) < 60
        assert set(record.statuses) <= {200, 503}


async def test_f_01_overload_is_503_and_passes(tmp_path: Path) -> None:
    """Who is sent away is told when to come back, not all at the same time, and never 401."""
    async with _crowded(tmp_path, devices=_DEVICES, device_requests=2) as crowd:
        lines = await crowd.lines(_DEVICES)
        requests = [member.report() for member in crowd.members]
        asked = [
            asyncio.create_task(line.ask(one)) for line, one in zip(lines, requests, strict=True)
        ]
        health, took = await crowd.ask(_HEALTH)
        answers = await asyncio.gather(*asked)
        assert health.status == 200
        assert took < 15, "health does not wait behind the crowd"
        assert {answer.status for answer in answers} == {200, 503}
        pauses = {answer.retry_after for answer in answers if answer.status == 503}
        assert len(pauses) > 1
        assert min(pauses) >= 1
        # The same connections are served, once there is less to do.
        for line, request in zip(lines, requests[:5], strict=False):
            assert (await line.ask(request)).status == 200
        _close(lines)


async def test_a_fleet_is_woken_at_its_pace_and_one_device_does_not_wait_behind_it(
    tmp_path: Path,
) -> None:
    async with waking(tmp_path, per_second=20) as story:
        first, *fleet = seed(story.server.data, story.server.topic, 61)
        began = time.monotonic()
        await story.api.enqueue([member.udid for member in fleet], "ProfileList")
        await until(lambda: len(story.apns.pushes) >= 2)
        one = await story.api.queue(first.udid)
        await story.pushed(one)
        await until(lambda: len(story.apns.pushes) == 61)
        assert time.monotonic() - began > 2  # 20 a second, and a quarter of a second's at once
        woken = [push.token for push in story.apns.pushes]
        assert len(set(woken)) == 61
        last = max(woken.index(_token(member)) for member in fleet)
        assert woken.index(_token(first)) < last, "it does not wait for all of them"


async def test_f_09_too_few_descriptors(tmp_path: Path) -> None:
    """400 connections where 256 descriptors are: health answers, the log stays quiet."""
    admin = free_port()
    few = ("prlimit", "--nofile=256")
    async with _crowded(tmp_path, wrapper=few, admin_port=admin) as crowd:
        lines = await crowd.lines(400)
        before = len(crowd.log_lines())
        local = UnixConnector(str(crowd.server.data / "run/api.sock"))
        async with ClientSession(connector=local) as session:
            async with session.get("http://localhost/healthz") as response:
                assert response.status == 200
        for port in (admin, crowd.server.port):
            answer, _ = await crowd.ask(_HEALTH, port=port)
            assert answer.status == 200
        more = await crowd.lines(100)
        assert len(crowd.log_lines()) - before <= 2
        _close(lines + more)
        await quickest(crowd.visit, below=2)


async def test_slow_clients_keep_no_device_waiting_and_are_closed(tmp_path: Path) -> None:
    """Silent before the handshake, in the head, in the body: each is closed at its deadline."""
    async with _crowded(tmp_path, body_seconds=3) as crowd:
        silent = [await Line.open(crowd.server.port, None) for _ in range(100)]
        in_head, in_body = await crowd.lines(100), await crowd.lines(100)
        for line in in_head:
            line.writer.write(_HEAD)
        for line in in_body:
            line.writer.write(_HEAD + b"\r\n<plist")
        await quickest(crowd.visit, below=1)
        for line in in_body:  # these are told
            assert (await line.ask(b"", seconds=60)).status == 400
        for line in silent + in_head:
            assert not await line.rest(seconds=60)
        _close(silent + in_head + in_body)


async def test_one_address_has_its_share_of_connections(tmp_path: Path) -> None:
    """Over it nobody is let in, until one of its own has idled for a while and makes room."""
    async with _crowded(tmp_path, connections_per_address=20, exempt="192.0.2.0/24") as crowd:
        greedy = await crowd.lines(60)
        closed = await asyncio.gather(*(line.is_closed(seconds=2.5) for line in greedy))
        assert closed.count(False) <= 20  # and these are old enough to be closed now
        answer, _ = await crowd.ask(_HEALTH)
        assert answer.status == 200
        _close(greedy)


async def test_c_25_a_flood_of_nonsense_and_broken_uploads_writes_a_short_log(
    tmp_path: Path,
) -> None:
    async with _crowded(tmp_path) as crowd:
        for _ in range(4):
            broken = await crowd.lines(150)
            for line in broken:
                line.writer.write(_HEAD + b"\r\n<plist")
            await asyncio.sleep(0.2)
            _close(broken)
        (line,) = await crowd.lines(1)
        body = b"<plist/>"
        for number in range(2000):
            path = ("/mdm", "/checkin", "/api/v1/devices", "/scep?operation=x")[number % 4]
            head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: {uuid.uuid4()}\r\n"
            answer = await line.ask(head.encode() + b"Content-Length: 8\r\n\r\n" + body)
            assert answer.status in (400, 405), (path, answer.status)
        line.close()
        answer, _ = await crowd.ask(crowd.members[0].report())
        assert answer.status == 200
        log = crowd.server.log.read_text()
        assert len(log) < 200_000
        assert "traceback" not in log.lower()
