"""Messages of real devices, sent by an enrolled test device under its own UDID."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import CHECK_IN, REPORT, Device
from tests.device.server import Api

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures"


def read(path: Path) -> dict[str, Any]:
    """The message; plistlib does not read the `<data>` of some, where an equals sign is missing."""
    message: dict[str, Any] = plistlib.loads(path.read_bytes().replace(b"Base64=", b"Base64=="))
    return message


MESSAGES = sorted(
    path
    for path in CAPTURES.glob("*")
    if path.suffix in (".plist", ".xml") and "mdm-signature" not in path.name
)

pytestmark = pytest.mark.skipif(not MESSAGES, reason="the captures are not on this machine")

_STATUS = {
    "Acknowledged": "acknowledged",
    "Error": "error",
    "CommandFormatError": "format_error",
    "NotNow": "not_now",
}


def as_sent_by(message: dict[str, Any], device: Device) -> dict[str, Any]:
    """The captured message with this device's identity and topic in it."""
    own = {**message, "UDID": device.udid}
    own.pop("EnrollmentID", None)
    if "Topic" in own:
        own["Topic"] = device.topic
    return own


def captured(check_in: bool) -> list[Path]:
    """The check-in messages, or the others."""
    return [p for p in MESSAGES if ("MessageType" in read(p)) is check_in]


@pytest.mark.parametrize("path", captured(True), ids=lambda path: path.stem)
async def test_a_captured_check_in_is_accepted(api: Api, device: Device, path: Path) -> None:
    message = as_sent_by(read(path), device)
    reply = await device.send(device.check_in_url, message, content_type=CHECK_IN)
    assert reply.status == 200, reply
    shown = await api.device(device.id)
    enrolled_after = {"Authenticate": False, "CheckOut": False}
    assert shown["enrolled"] is enrolled_after.get(message["MessageType"], True)
    if message["MessageType"] == "Authenticate" and "SerialNumber" in message:
        assert shown["serial_number"] == message["SerialNumber"]


@pytest.mark.parametrize("path", captured(False), ids=lambda path: path.stem)
async def test_a_captured_answer_is_readable_by_api(api: Api, device: Device, path: Path) -> None:
    message = as_sent_by(read(path), device)
    queued = await api.queue(device.id)
    command = (await device.idle()).command
    assert command is not None
    message["CommandUUID"] = command.uuid
    reply = await device.send(device.server_url, message, content_type=REPORT)
    assert reply.command is None
    shown = await api.command(queued)
    assert shown["status"] == _STATUS[message["Status"]]
    if message["Status"] == "Acknowledged":
        assert set(message) - {"UDID", "Status", "CommandUUID"} <= set(shown["result"])
    if message["Status"] == "Error":
        codes = [each["ErrorCode"] for each in message["ErrorChain"]]
        assert [each["error_code"] for each in shown["error_chain"]] == codes


async def test_a_captured_signature_of_a_foreign_device_is_refused(api: Api) -> None:
    body = (CAPTURES / "nanomdm-mdm-signature.body.plist").read_bytes()
    signature = (CAPTURES / "nanomdm-mdm-signature.b64").read_text()
    headers = {"Mdm-Signature": "".join(signature.split())}
    url = api.server.url + "/mdm"
    async with api.session.put(url, data=body, headers=headers) as response:
        assert response.status == 400
