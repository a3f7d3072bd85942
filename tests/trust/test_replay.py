"""A signature says nothing of time: what a recorded message can do that is sent again."""

from __future__ import annotations

import plistlib

from tests.device.database import rows_about
from tests.device.device import REPORT, Device
from tests.device.server import Api


def recorded(device: Device, status: str, **keys: object) -> bytes:
    """A report as it went over the wire; its signature comes out the same each time."""
    return plistlib.dumps({**device.identification, "Status": status, **keys})


async def replay(api: Api, device: Device, body: bytes, signature: str) -> bytes:
    """Send body and signature again, on a connection of somebody else's."""
    async with api.server.session() as elsewhere:
        headers = {"Content-Type": REPORT, "Mdm-Signature": signature}
        async with elsewhere.put(device.server_url, data=body, headers=headers) as answer:
            assert answer.status == 200
            return await answer.read()


async def test_a_18_an_idle_sent_again_takes_nothing_from_the_device(
    api: Api, device: Device
) -> None:
    body = recorded(device, "Idle")
    signature = device.signature(body)
    queued = await api.queue(device.id, push=False)
    first = await device.idle()
    assert first.command is not None and first.command.uuid == queued
    before = rows_about(api.server.data, device.id)
    assert await replay(api, device, body, signature) == first.body
    assert rows_about(api.server.data, device.id) == before
    again = await device.idle()
    assert again.command is not None and again.command.uuid == queued, "it is still the device's"


async def test_a_18_an_answer_sent_again_changes_nothing(api: Api, device: Device) -> None:
    queued = await api.queue(device.id, push=False)
    assert (await device.idle()).command is not None
    forged_later = recorded(device, "Acknowledged", CommandUUID=queued, Mark="first")
    signature = device.signature(forged_later)
    await replay(api, device, forged_later, signature)
    before = rows_about(api.server.data, device.id), await api.command(queued)
    for _ in range(3):
        assert await replay(api, device, forged_later, signature) == b""
    assert (rows_about(api.server.data, device.id), await api.command(queued)) == before
