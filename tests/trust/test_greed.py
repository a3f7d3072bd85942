"""What one enrolled device can make the server keep, and what that costs the others."""

from __future__ import annotations

import asyncio
import io
import os
import plistlib
import time
import uuid

import aiohttp

from tests.device.database import opened
from tests.device.device import Device
from tests.device.server import Api
from tests.trust.timing import shortest

_MOST_USERS = 1000
_MOST_ANSWER = 512 * 1024


async def test_a_device_has_no_more_users_than_end_in_a_moment(api: Api, device: Device) -> None:
    first = device.user("first")
    assert (await first.token_update()).status == 200
    with opened(api.server.data, write=True) as db, db:
        db.executemany(
            """
            INSERT INTO enrollments (id, device_id, type, state, last_seen_at)
            VALUES (?, ?, 'User', 'enrolled', 0)
            """,
            [(f"{device.id}:{number}", device.id) for number in range(_MOST_USERS - 1)],
        )
    one_more = device.user("one more")
    assert (await one_more.token_update()).status == 400
    assert (await one_more.idle()).status == 400
    assert (await first.token_update()).status == 200, "who is known stays"
    assert (await device.check_out()).status == 200


async def test_beginning_again_and_again_is_noted_once(api: Api, device: Device) -> None:
    user = device.user()

    def noted() -> int:
        with opened(api.server.data) as db:
            query = "SELECT count(*) FROM events WHERE enrollment_id LIKE ? || '%'"
            (count,) = db.execute(query, (device.id,)).fetchone()
        return int(count)

    assert (await user.token_update()).status == 200
    before = noted()
    for _ in range(5):
        assert (await device.authenticate()).status == 200
        assert (await device.token_update()).status == 200
        assert (await user.token_update()).status == 200
    assert noted() == before


async def test_what_a_device_says_of_itself_does_not_grow_for_ever(
    api: Api, device: Device
) -> None:
    async def says(number: int, size: int) -> None:
        queued = await api.queue(device.id, "SecurityInfo")
        answer = {f"Key{number}": os.urandom(size // 2).hex(), "Hardware": number}
        assert (await device.acknowledge(queued, SecurityInfo=answer)).status == 200

    for number in range(4):
        await says(number, 200_000)
    with opened(api.server.data) as db:
        query = "SELECT length(security) FROM devices WHERE enrollment_id = ?"
        (length,) = db.execute(query, (device.id,)).fetchone()
    assert length <= _MOST_ANSWER
    shown = (await api.device(device.id))["security"]
    assert shown["Hardware"] == 3, "the last answer is there"
    await says(4, 600_000)
    assert (await api.device(device.id))["security"] == {}


async def test_a_raw_command_of_megabytes_holds_up_nobody(api: Api, device: Device) -> None:
    """It takes most of a second to read, and its sender may do no more than queue commands."""
    command = {"RequestType": "Settings", "Settings": [True] * 300_000}
    headers = {"Authorization": aiohttp.encode_basic_auth("nanomdm", api.token)}
    url = f"{api.server.url}/v1/enqueue/{device.id}?nopush=1"

    async def send(body: bytes) -> None:
        async with api.session.put(url, data=io.BytesIO(body), headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def longest_wait() -> float:
        body = plistlib.dumps({"CommandUUID": str(uuid.uuid4()), "Command": command})
        sending, longest = asyncio.create_task(send(body)), 0.0
        while not sending.done():
            began = time.monotonic()
            async with api.session.get(f"{api.server.url}/healthz") as answer:
                assert answer.status == 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        await sending
        return longest

    await shortest(longest_wait, below=0.3)
