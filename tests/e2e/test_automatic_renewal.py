"""An identity that ends soon is renewed by itself; a renewal that fails is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.device import database
from tests.device.device import Command, Device
from tests.device.server import Api
from tests.trust.clockwork import ClockworkServer, running

_SOON = "+30h"  # of the identity's 48 hours


@pytest.fixture(scope="module")
def clockwork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockworkServer]:
    """A server whose identities last two days, so that they are renewed in the second."""
    folder = tmp_path_factory.mktemp("renewals") / "data"
    yield from running(folder, APPLIANCE_SCEP__IDENTITY_DAYS="2")


@asynccontextmanager
async def _started(server: ClockworkServer, clock: str, *devices: Device) -> AsyncIterator[Api]:
    """The server, started at another time: it looks for what is due at once, then once a day."""

    def restart() -> None:
        assert server.stop() == 0
        server.set_clock(clock)
        server.start()

    await asyncio.to_thread(restart)
    async with server.session() as session:
        for device in devices:
            device.session = session
        yield Api(server, session)


async def _enrolled(server: ClockworkServer, count: int) -> list[Device]:
    server.set_clock("+0")
    async with server.session() as session:
        return [await Api(server, session).enroll() for _ in range(count)]


async def _until(api: Api, device: Device, state: str) -> dict[str, Any]:
    """What the API shows once the renewal has that state."""
    async with asyncio.timeout(60):
        while True:
            shown = await api.device(device.id)
            if shown["renewal"] == state:
                return shown
            await asyncio.sleep(0.05)


async def _profile(device: Device) -> Command:
    command = (await device.idle()).command
    assert command is not None
    assert command.request_type == "InstallProfile"
    return command


def _ends_in_days(server: ClockworkServer, device: Device, days: int) -> None:
    """Let the store say that the identity was issued long ago and ends so soon."""
    day = 86_400_000
    with database.opened(server.data, write=True) as db, db:
        db.execute(
            """
            UPDATE certificates
               SET not_after = issued_at + ? * ?, issued_at = issued_at - 700 * ?
             WHERE enrollment_id = ?
            """,
            (days, day, day, device.id),
        )


async def test_an_identity_is_renewed_by_itself_and_all_else_stays(
    clockwork: ClockworkServer,
) -> None:
    device, blocked, gone = await _enrolled(clockwork, 3)
    async with clockwork.session() as session:
        api, device.session, gone.session = Api(clockwork, session), session, session
        shown = await api.device(device.id)
        assert (shown["renewal"], shown["certificate_days_left"]) == ("not_due", 1)
        await device.set_bootstrap_token(b"bootstrap")
        assert (await api.post(f"/api/v1/devices/{blocked.id}/block")).status == 200
        await gone.check_out()
    before = device.identity
    async with _started(clockwork, _SOON, device) as api:
        shown = await _until(api, device, "waiting")
        assert (shown["certificate_days_left"], shown["queue_depth"]) == (0, 1)
        for unmanaged in (blocked, gone):
            other = await api.device(unmanaged.id)
            assert (other["queue_depth"], other["renewal"]) == (0, None)
        told = await asyncio.to_thread(clockwork.cli, "device", "show", device.id)
        assert {"certificate_days_left", "waiting"} <= set(told.stdout.split())
        waits = await api.queue(device.id, "ProfileList")
        again = (await api.post(f"/api/v1/devices/{device.id}/renew-identity")).json["commands"]
        assert again[0]["id"] == shown["renewal_command"], "one waits already"

        command = await _profile(device)
        assert command.uuid == shown["renewal_command"]
        await device.enroll_from_profile(command.payload["Payload"])
        following = (await device.acknowledge(command)).command
        assert following is not None
        assert following.uuid == waits, "what waited waits still"
        assert await device.get_bootstrap_token() == b"bootstrap"
        shown = await api.device(device.id)
        assert (shown["renewal"], shown["certificate_days_left"]) == ("not_due", 1)
        assert shown["renewal_command"] is None

        renewed, device.identity = device.identity, before
        assert (await device.idle()).status == 400, "the identity before is superseded"
        device.identity = renewed
        assert (await device.idle()).status == 200


async def test_one_that_fails_or_ends_unfetched_is_sent_again(clockwork: ClockworkServer) -> None:
    refuses, sleeps = await _enrolled(clockwork, 2)
    for device in (refuses, sleeps):
        _ends_in_days(clockwork, device, 40)
    async with _started(clockwork, "+0", refuses) as api:
        first = (await _until(api, refuses, "waiting"))["renewal_command"]
        slept = (await _until(api, sleeps, "waiting"))["renewal_command"]
        await refuses.error(await _profile(refuses))
        shown = await api.device(refuses.id)
        assert (shown["renewal"], shown["renewal_problem"]) == ("failed", "It did not work.")
        assert (shown["renewal_command"], shown["queue_depth"]) == (first, 0)
        problems = (await api.get("/api/v1/status")).json["problems"]
        assert not [one for one in problems if "identities" in one], "there is time"

    async with _started(clockwork, "+15d") as api, asyncio.timeout(60):
        (trouble,) = [
            one
            for one in (await api.get("/api/v1/status")).json["problems"]
            if "devices end within 30 days" in one
        ]
        assert "switch them on" in trouble
        assert (await _until(api, refuses, "waiting"))["renewal_command"] != first
        while (await _until(api, sleeps, "waiting"))["renewal_command"] == slept:
            await asyncio.sleep(0.05)
        assert (await api.command(slept))["status"] == "expired", "its challenge has ended"
        assert (await api.device(sleeps.id))["queue_depth"] == 1
