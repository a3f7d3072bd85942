"""An answer that is larger than the server takes: its queue stands still, and a person is told."""

from __future__ import annotations

import io
from typing import Any

from appliance.simulator import keys
from tests.device.device import Device
from tests.device.server import Api

KIND = "device.message_too_large"
TOO_MUCH = b"x" * 4_000_000  # in base64 more than 4 MiB


async def _told(api: Api, device: Device) -> list[dict[str, Any]]:
    answer = await api.get(f"/api/v1/devices/{device.id}/events")
    return [event["data"] for event in answer.json["items"] if event["kind"] == KIND]


async def test_who_sends_too_much_and_what_to_do_is_told_once(api: Api, device: Device) -> None:
    queued = await api.queue(device.id)
    command = (await device.idle()).command
    assert command is not None
    for _ in range(2):
        assert (await device.acknowledge(command, Huge=TOO_MUCH)).status == 413
    (said,) = await _told(api, device)
    assert (said["limit"], said["kib"]) == ("limits.result_body_kib", 4096)
    assert "limits.result_body_kib higher" in said["fix"]
    assert (await api.command(queued))["status"] == "sent"
    assert (await device.idle()).command == command, "it is neither lost nor passed over"
    assert (await device.acknowledge(command)).status == 200


async def test_a_check_in_that_is_too_large_is_told_with_its_own_limit(
    api: Api, device: Device
) -> None:
    assert (await device.token_update(UnlockToken=b"x" * 1_000_000)).status == 413
    (said,) = await _told(api, device)
    assert (said["limit"], said["kib"]) == ("limits.checkin_body_kib", 1024)


async def test_of_strangers_nothing_is_told(api: Api, device: Device, other: Device) -> None:
    """Of a certificate that is not ours, was replaced or is blocked, or of no signature at all."""
    identity = device.identity
    device.identity = keys.self_signed(keys.name(("CN", "stranger")))
    assert (await device.report("Acknowledged", "x", Huge=TOO_MUCH)).status == 413
    device.identity = identity
    await api.post(f"/api/v1/devices/{device.id}/forget", {})
    assert (await device.report("Acknowledged", "x", Huge=TOO_MUCH)).status == 413
    await api.post(f"/api/v1/devices/{other.id}/block", {})
    assert (await other.report("Acknowledged", "x", Huge=TOO_MUCH)).status == 413
    for signature in ("", "AAAA", "not base64"):
        headers = {"Mdm-Signature": signature} if signature else {}
        url = f"{api.server.url}/mdm"
        async with api.session.put(url, data=io.BytesIO(TOO_MUCH * 2), headers=headers) as answer:
            assert answer.status == 413
    assert await _told(api, device) == await _told(api, other) == []
