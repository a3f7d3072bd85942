"""Clocks that are wrong, jump, or start in 1970: nothing expires, nobody is sent away."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.simulator import keys
from tests.device.device import Device
from tests.device.scep import ScepClient, ScepFailure
from tests.device.server import Api
from tests.trust.clockwork import ClockworkServer, running
from tests.trust.witness import Witness, copy_of

_DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def clockwork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockworkServer]:
    """A server whose clock is right at first; its identities last two days."""
    folder = tmp_path_factory.mktemp("clockwork") / "data"
    yield from running(
        folder, APPLIANCE_SCEP__IDENTITY_DAYS="2", APPLIANCE_SCEP__CHALLENGE_MINUTES="5"
    )


@pytest.fixture
def server(clockwork: ClockworkServer) -> Iterator[ClockworkServer]:
    """The same, its clock set right again afterwards."""
    yield clockwork
    clockwork.set_clock("+0")


def restart(server: ClockworkServer, clock: str) -> None:
    """Stop it, set its clock, start it."""
    assert server.stop() == 0
    server.set_clock(clock)
    server.start()


async def problems(api: Api) -> list[str]:
    """What `status` says that a person should look at."""
    found: list[str] = (await api.get("/api/v1/status")).json["problems"]
    return found


async def test_e_13_ten_years_ahead_and_back_nothing_has_expired(server: ClockworkServer) -> None:
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        command = await api.queue(device.id, push=True, expires_at=later(days=2))
        link = await api.new_link(expires_in="7d")
        await asyncio.sleep(0.5)
        before = history(server.data)

    await asyncio.to_thread(restart, server, "+10y")
    async with server.session() as session:
        api, device.session = Api(server, session), session
        assert (await device.idle()).status == 400, "its identity has ended, by that clock"
        assert any("ahead by more than 30 days" in text for text in await problems(api))
        await asyncio.sleep(1)

    await asyncio.to_thread(restart, server, "+0")
    async with server.session() as session:
        api, device.session = Api(server, session), session
        await asyncio.sleep(0.5)
        assert history(server.data) >= before
        assert latest_push(server.data) < time.time() * 1000 + 2 * _DAY_MS
        received = (await device.idle()).command
        assert received is not None
        assert received.uuid == command
        assert await api.download(link)
        assert not any("clock" in text for text in await problems(api))


def later(*, days: int) -> str:
    """A moment to come, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86_400))


def history(data: Path) -> set[tuple[int, str]]:
    """The events of a store."""
    with copy_of(data) as db:
        return set(db.execute("SELECT id, kind FROM events"))


def latest_push(data: Path) -> int:
    """When the last of the pending pushes is due."""
    with copy_of(data) as db:
        (due,) = db.execute("SELECT max(due_at) FROM pushes").fetchone()
        return int(due or 0)


@pytest.mark.parametrize("clock", ["@1970-01-01 00:10:00", "-10y"])
async def test_e_13_a_clock_before_the_release_serves_devices_and_makes_no_certificate(
    server: ClockworkServer, clock: str
) -> None:
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        link = await api.new_link(uses=2)
        profile = await api.download(link)

    await asyncio.to_thread(restart, server, clock)
    async with server.session() as session:
        api, device.session = Api(server, session), session
        command = await api.queue(device.id, push=False)
        received = (await device.idle()).command
        assert received is not None
        assert received.uuid == command
        assert (await device.acknowledge(received)).status == 200

        for address in (link.url, link.profile_url):
            async with session.get(address) as response:
                assert response.status == 503
                assert "clock" in await response.text()
        newcomer = Device(session)
        with pytest.raises(ScepFailure) as refused:
            await newcomer.obtain_identity(profile)
        assert refused.value.status == 503
        assert any("clock is wrong" in text for text in await problems(api))
        assert "the clock is wrong" in (await asyncio.to_thread(server.cli, "status")).stderr

        server.set_clock("+0")
        await newcomer.enroll_from_profile(await api.download(link))
        assert not any("clock" in text for text in await problems(api))
        with copy_of(server.data) as db:
            (begins,) = db.execute("SELECT min(issued_at) FROM certificates").fetchone()
        assert begins > (time.time() - 600) * 1000


def test_e_13_nothing_is_initialised_in_1970(tmp_path: Path) -> None:
    server = ClockworkServer(tmp_path / "data", clock="@1970-01-01 00:10:00")
    done = server.cli("init", "--url", server.url, check=False)
    assert done.returncode == 7
    assert "error[clock.wrong]: the clock says 1970-01-01" in done.stderr
    assert not server.data.exists()


async def test_e_13_in_2038_everything_works(tmp_path: Path) -> None:
    clock = "@2038-01-20 00:00:00"
    server = ClockworkServer(tmp_path / "data", clock=clock)
    await asyncio.to_thread(server.initialise)
    await asyncio.to_thread(server.start)
    async with server.session() as session:
        api = Api(server, session)
        topic = keys.name(("UID", server.topic))
        of_then = keys.self_signed(topic, not_before=datetime(2038, 1, 1, tzinfo=UTC))
        assert (await server.import_push_certificate(api, of_then)).status == 200
        device = await api.enroll()
        command = await api.queue(device.id, push=False)
        received = (await device.idle()).command
        assert received is not None
        assert received.uuid == command
        assert (await device.acknowledge(received)).status == 200
        assert (await api.command(command))["finished_at"].startswith("2038-01-2")
    assert await asyncio.to_thread(server.stop) == 0


async def test_e_13_after_the_end_of_the_ca_nothing_is_issued_and_the_log_says_why(
    server: ClockworkServer,
) -> None:
    await asyncio.to_thread(restart, server, "+11y")
    async with server.session() as session:
        api = Api(server, session)
        profile = await api.profile()
        with pytest.raises(ScepFailure) as refused:
            await Device(session).obtain_identity(profile)
        assert refused.value.status == 200, "a signed failure"
        assert re.search("certificate refused.*authority has ended", server.log_tail())


async def test_e_13_jumps_of_an_hour_under_load_disturb_nobody(server: ClockworkServer) -> None:
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        witness = Witness(devices=[device], tokens={device.id: [device.token]})
        for clock in ("+1h", "-1h", "+0"):
            server.set_clock(clock)
            for _ in range(4):
                await witness.enqueue(api, device)
                await witness.answer_all(device)
                await witness.escrow(device)
            await api.enroll()
            async with session.get(f"{server.url}/readyz") as response:
                assert response.status == 200
        assert witness.statuses <= {200, 202}
        assert len(witness.acknowledged) == len(witness.queued) == 12
        assert not witness.delivered_again
        witness.check_store(server.data)


async def test_e_13_a_push_that_a_wrong_clock_put_off_is_brought_forward(
    server: ClockworkServer,
) -> None:
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        await api.queue(device.id, push=True)
    assert await asyncio.to_thread(server.stop) == 0
    with closing(sqlite3.connect(server.data / "appliance.db")) as db, db:
        db.execute("UPDATE pushes SET due_at = due_at + ?, sent_at = due_at + ?", [9e11, 9e11])
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(60):
        while latest_push(server.data) > (time.time() + 86_400) * 1000:
            await asyncio.sleep(0.1)


async def test_b_12_an_identity_that_has_ended_renews_nothing(server: ClockworkServer) -> None:
    async with server.session() as session:
        api = Api(server, session)
        device = await api.enroll()
        assert device.profile is not None
        assert device.identity is not None
        client = ScepClient(session, device.profile.scep["URL"])
        server.set_clock("+3d")
        with pytest.raises(ScepFailure) as refused:
            await client.renew(device.identity)
        assert refused.value.status == 200
        server.set_clock("+1d")
        assert await client.renew(device.identity)


@pytest.mark.parametrize("back", ["-1d", "+0"])
async def test_b_21_what_expired_stays_expired_when_the_clock_moves_back(
    server: ClockworkServer, back: str
) -> None:
    async with server.session() as session:
        api = Api(server, session)
        profile = await api.profile()
        with copy_of(server.data) as db:
            issued = db.execute("SELECT count(*) FROM certificates").fetchone()
        for clock in ("+301", back):
            server.set_clock(clock)
            with pytest.raises(ScepFailure) as refused:
                await Device(session).obtain_identity(profile)
            assert refused.value.status == 200
        with copy_of(server.data) as db:
            assert db.execute("SELECT count(*) FROM certificates").fetchone() == issued
