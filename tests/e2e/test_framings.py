"""However a message is framed on the wire, the server gives the same answer."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest

from appliance.simulator.keys import name, rsa_key, self_signed
from appliance.simulator.profile import Profile
from appliance.simulator.scep import certificate_request, read_reply
from tests.device.device import Device
from tests.device.scep import Options, ScepClient, pki_message
from tests.device.server import Api, RunningServer

START = "PUT /mdm HTTP/1.1"
SECONDS = 60


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


async def exchange(
    server: RunningServer, data: bytes, *more: bytes, count: int = 1, pause: float = 0.05
) -> list[Answer]:
    """Send `data`, then `more` piece by piece, on a new connection; read `count` answers."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=server.tls, server_hostname="localhost"
        )
        writer.write(data)
        for piece in more:
            await asyncio.sleep(pause)
            writer.write(piece)
        answers = [await read_answer(reader) for _ in range(count)]
        writer.close()
        await writer.wait_closed()
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


@pytest.mark.parametrize("pause", [0.05, 1.3], ids=["soon", "late"])
@pytest.mark.parametrize("cut", ["in the head", "after the head", "in the body"])
async def test_a_message_may_come_in_pieces(
    server: RunningServer, api: Api, device: Device, cut: str, pause: float
) -> None:
    body = idle(device)
    message = framed(body, device.signature(body))
    at = {"in the head": 50, "after the head": -len(body), "in the body": -10}[cut]
    queued = await api.queue(device.id)

    answers = await exchange(
        server, message, message[:at], message[at:], message, count=3, pause=pause
    )

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert all(queued.encode() in answer.body for answer in answers)


@pytest.mark.parametrize(
    "extra",
    [
        "Content-Length: 1\r\n", "X-Folded: a\r\n b\r\n",
        "X-Control: \x01\r\n", "No colon\r\n", "Spaced : a\r\n", "Host: other\r\n",
    ],
)  # fmt: skip
async def test_an_odd_head_is_never_taken_for_a_plain_one(
    server: RunningServer, device: Device, extra: str
) -> None:
    body = idle(device)

    [answer] = await exchange(server, framed(body, device.signature(body), extra=extra))

    assert answer.status == 400


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
    command = {
        "RequestType": "InstallProvisioningProfile",
        "ProvisioningProfile": bytes(100_000),
    }
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


def scep(operation: str, message: bytes | None = None, extra: str = "") -> bytes:
    method = "GET" if message is None else "POST"
    head = f"{method} /scep?operation={operation} HTTP/1.1\r\nHost: localhost\r\n{extra}"
    if message is None:
        return f"{head}\r\n".encode()
    fields = f"Content-Type: application/x-pki-message\r\nContent-Length: {len(message)}"
    return f"{head}{fields}\r\n\r\n".encode() + message


@pytest.mark.parametrize("operation", ["GetCACaps", "GetCACert"])
async def test_what_a_device_asks_before_it_enrolls_is_the_same_in_every_framing(
    server: RunningServer, operation: str
) -> None:
    plain, close = scep(operation), scep(operation, extra="Connection: close\r\n")

    answers = [*await exchange(server, plain, plain, count=2), *await exchange(server, close)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["Content-Type"] for answer in answers}) == 1


async def test_scep_brings_the_same_answers_in_every_framing(
    server: RunningServer, api: Api
) -> None:
    profile = Profile.read(await api.profile())
    authority = await ScepClient(api.session, profile.scep["URL"]).authority()
    key = rsa_key()
    request = certificate_request(key, name(("CN", "device")), profile.scep["Challenge"])
    message = pki_message(request, authority, self_signed(name(("CN", "device")), key), Options())
    plain = scep("PKIOperation", message.der)
    again = scep("PKIOperation", message.der, extra="Connection: close\r\n")
    broken = scep("PKIOperation", message.der[:-1] + b"?")

    first, refused, second = await exchange(server, plain, broken, plain, count=3)
    [other] = await exchange(server, again)

    assert [first.status, refused.status, second.status, other.status] == [200, 400, 200, 200]
    assert (refused.body, first.headers["Content-Type"]) == (b"", "application/x-pki-message")
    replies = [read_reply(one.body, message, [authority]) for one in (first, second, other)]
    assert [reply.status for reply in replies] == ["0", "0", "0"]
    assert len({reply.certificates[0].serial_number for reply in replies}) == 1, "one transaction"
    assert other.headers["Content-Type"] == first.headers["Content-Type"]


@pytest.mark.parametrize("inside", ["\nTransfer-Encoding: chunked", "\0"])
async def test_nothing_is_hidden_in_a_signature(server: RunningServer, inside: str) -> None:
    extra = f"Mdm-Signature: x{inside}\r\nContent-Length: 4\r\n"
    data = scep("GetCACaps", extra=extra) + b"0\r\n\r" + scep("GetCACaps")

    [answer] = await exchange(server, data)

    assert answer.status == 400
