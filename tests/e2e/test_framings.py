"""However a message is framed on the wire, the server gives the same answer."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest

from tests.device.device import Device
from tests.device.server import Api, RunningServer

START = "PUT /mdm HTTP/1.1"
SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """One response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def idle(device: Device) -> bytes:
    return plistlib.dumps({"Status": "Idle", "UDID": device.id})


def framed(body: bytes, signature: str, *, start: str = START, extra: str = "") -> bytes:
    kind = "application/x-apple-aspen-mdm; charset=UTF-8"
    head = f"{start}\r\nHost: localhost\r\nContent-Type: {kind}\r\nMdm-Signature: {signature}\r\n"
    if "chunked" in extra:
        return f"{head}{extra}\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    return f"{head}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def exchange(server: RunningServer, data: bytes, *, count: int = 1) -> list[Answer]:
    """Send `data` on a connection of its own and read `count` answers."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=server.tls, server_hostname="localhost"
        )
        writer.write(data)
        answers = [await read_answer(reader) for _ in range(count)]
        writer.close()
    return answers


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return Answer(int(first.split()[1]), headers, body)


FORMS = {
    "in one piece": {},
    "one of a kind": {"start": "PUT /mdm?form=1 HTTP/1.1"},
    "in HTTP/1.0": {"start": "PUT /mdm HTTP/1.0"},
    "the last of its connection": {"extra": "Connection: close\r\n"},
    "in chunks": {"extra": "Transfer-Encoding: chunked\r\n"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_every_framing_brings_the_same_answers(
    server: RunningServer, api: Api, device: Device, form: dict[str, str]
) -> None:
    body = idle(device)
    signature = device.signature(body)

    [nothing] = await exchange(server, framed(body, signature, **form))
    queued = await api.queue(device.id)
    [command] = await exchange(server, framed(body, signature, **form))
    [forged] = await exchange(server, framed(body + b"\n", signature, **form))

    assert (nothing.status, nothing.body) == (200, b"")
    assert (command.status, command.headers["Content-Type"]) == (
        200,
        "application/xml; charset=UTF-8",
    )
    assert plistlib.loads(command.body)["CommandUUID"] == queued
    assert (forged.status, forged.body) == (400, b"")
    assert parsedate_to_datetime(command.headers["Date"])


async def test_messages_that_come_together_are_answered_in_order(
    server: RunningServer, api: Api, device: Device
) -> None:
    body = idle(device)
    queued = await api.queue(device.id)
    report = {"Status": "Acknowledged", "UDID": device.id, "CommandUUID": queued}
    done = plistlib.dumps(report)
    forged = framed(body, device.signature(done))
    messages = [
        framed(body, device.signature(body)), framed(done, device.signature(done)), forged,
        framed(body, device.signature(body)),
    ]  # fmt: skip

    answers = await exchange(server, b"".join(messages), count=4)

    assert [answer.status for answer in answers] == [200, 200, 400, 200]
    assert [queued.encode() in answer.body for answer in answers] == [True, False, False, False]


async def test_a_long_command_arrives_whole(
    server: RunningServer, api: Api, device: Device
) -> None:
    command = {"RequestType": "InstallProfile", "Payload": bytes(100_000)}
    payload = plistlib.dumps({"CommandUUID": str(uuid.uuid4()), "Command": command})
    plist = base64.b64encode(payload).decode()
    assert (
        await api.post("/api/v1/commands", {"targets": [device.id], "plist": plist})
    ).status == 202
    body = idle(device)

    [answer] = await exchange(server, framed(body, device.signature(body)))

    assert answer.body == payload


async def test_other_methods_and_paths_are_the_applications(
    server: RunningServer, device: Device
) -> None:
    body = idle(device)
    for start, status in (
        ("POST /mdm HTTP/1.1", 405),
        ("PUT /mdm/ HTTP/1.1", 404),
        ("PUT /nothing HTTP/1.1", 404),
    ):
        [answer] = await exchange(server, framed(body, device.signature(body), start=start))
        assert answer.status == status, start
