"""The live stream over real HTTPS: what happens is heard once, in order, whatever breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.device.device import Device
from tests.device.events import EventStream, Heard, listen
from tests.device.fixtures import start_server
from tests.device.server import Api

EVENTS = "/api/v1/events"


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Api]:
    """A server of the test's own, that it may stop and start."""
    limits = {"APPLIANCE_LIMITS__EVENT_STREAMS": "200"}
    server = await asyncio.to_thread(
        start_server, tmp_path / "data", environment=limits, push_certificate=False
    )
    async with server.session() as session:
        await server.import_push_certificate(Api(server, session))
        yield Api(server, session)
    await asyncio.to_thread(server.stop)


def ids(heard: list[Heard]) -> list[int]:
    return [int(event.last_event_id) for event in heard]


async def test_an_enrollment_is_heard_step_by_step(api: Api) -> None:
    types = "enrollment,certificate,device"
    url = f"{api.server.url}{EVENTS}?types={types}"
    async with listen(api.session, url, api.token) as stream:
        link = await api.new_link()
        await (await api.session.get(link.url)).read()
        device = Device(api.session)
        await device.enroll_from_profile(await api.download(link))
        heard = await stream.take(6)

    assert [(event.event, event.data["kind"]) for event in heard] == [
        ("enrollment", "link.created"),
        ("enrollment", "link.opened"),
        ("enrollment", "link.profile_fetched"),
        ("certificate", "certificate.issued"),
        ("device", "device.authenticated"),
        ("device", "device.enrolled"),
    ]
    assert len({event.data["link"] for event in heard}) == 1, "one link, by its reference"
    assert link.code not in str(heard), "the code itself is a secret"
    assert [event.data["device"] for event in heard[4:]] == [device.id, device.id]
    assert ids(heard) == sorted(set(ids(heard)))


async def test_what_was_missed_is_replayed(api: Api, device: Device) -> None:
    url = f"{api.server.url}{EVENTS}?types=command&device={device.id}"
    async with listen(api.session, url, api.token) as stream:
        await api.queue(device.id)
        first = await stream.take(1)
    missed = [await api.queue(device.id) for _ in range(3)]

    back = stream.last_event_id
    async with listen(api.session, url, api.token, last_event_id=back) as stream:
        later = await api.queue(device.id)
        heard = await stream.take(4)
    assert [event.data["id"] for event in heard] == [*missed, later]
    assert ids([*first, *heard]) == sorted(set(ids([*first, *heard])))

    async with listen(api.session, f"{url}&last_event_id={back}", api.token) as stream:
        assert await stream.take(4) == heard, "the query does as the header, for a first visit"


async def test_a_restart_loses_nothing(own: Api) -> None:
    device = await own.enroll()
    url = f"{own.server.url}{EVENTS}?types=command"
    async with listen(own.session, url, own.token) as stream:
        pass
    command = await own.queue(device.id)
    received = (await device.idle()).command
    assert received is not None
    await device.acknowledge(received)
    assert await asyncio.to_thread(own.server.stop) == 0
    await asyncio.to_thread(own.server.start)

    last = stream.last_event_id
    async with listen(own.session, url, own.token, last_event_id=last) as stream:
        heard = await stream.take(2)
    assert [(e.data["id"], e.data["stage"], e.data["status"]) for e in heard] == [
        (command, "queued", "queued"), (command, "finished", "acknowledged"),
    ]  # fmt: skip


async def test_whoever_missed_too_much_is_told_to_begin_anew(own: Api) -> None:
    device = await own.enroll()
    for _ in range(11):
        await own.enqueue([device.id], "ProfileList")
    url = f"{own.server.url}{EVENTS}"
    async with listen(own.session, f"{url}?types=command", own.token, last_event_id="0") as stream:
        assert [event.event for event in await stream.take(11)] == ["command"] * 11
    for _ in range(1_001):
        await own.queue(device.id)
    async with listen(own.session, url, own.token, last_event_id="0") as stream:
        heard = await stream.take(1_001)
        assert heard[0].event == "reset"
        assert ids(heard[1:]) == sorted(set(ids(heard[1:])))
        newest = await own.queue(device.id)
        (event,) = await stream.take(1)
        assert event.data["id"] == newest
    future = str(10**12)  # of a database that was restored from a backup since
    async with listen(own.session, url, own.token, last_event_id=future) as stream:
        (event,) = await stream.take(1)
        assert event.event == "reset"
        assert int(event.last_event_id) < 10**12


async def test_a_hundred_listeners_hear_the_same_under_load(own: Api) -> None:
    devices = [await own.enroll() for _ in range(4)]
    url = f"{own.server.url}{EVENTS}?types=command"
    commands = 50

    async def hear(ready: asyncio.Semaphore) -> list[Heard]:
        async with listen(own.session, url, own.token) as stream:
            ready.release()
            return [
                event
                for event in await stream.take(commands * 4 * 3, seconds=60)
                if event.data["stage"] != "connected"
            ]

    async def work(device: Device) -> None:
        for _ in range(commands):
            await own.queue(device.id, push=False)
            received = (await device.idle()).command
            assert received is not None
            await device.acknowledge(received)

    ready = asyncio.Semaphore(0)
    listeners = [asyncio.create_task(hear(ready)) for _ in range(100)]
    for _ in listeners:
        await ready.acquire()
    await asyncio.gather(*(work(device) for device in devices))
    heard = await asyncio.gather(*listeners)

    assert len(heard[0]) == commands * 4 * 2
    assert ids(heard[0]) == sorted(set(ids(heard[0]))), "ascending, each once"
    assert all(other == heard[0] for other in heard)


async def test_the_end_of_the_server_ends_the_streams_soon(own: Api) -> None:
    url = f"{own.server.url}{EVENTS}"
    async with (
        listen(own.session, url, own.token) as one,
        listen(own.session, url, own.token) as two,
    ):
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(own.server.stop))
        assert await ended(one)
        assert await ended(two)
        assert time.monotonic() - began < 4, "before the five seconds that the end may take"
        assert await stopping == 0
    assert "Traceback" not in own.server.log_tail()


async def ended(stream: EventStream) -> bool:
    return await stream.next(seconds=5) is None
