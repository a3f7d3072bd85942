"""Property lists that no honest device sends, signed by an enrolled one: 400, soon, no effect."""

from __future__ import annotations

import asyncio
import plistlib
import socket
import struct
import time

import psutil
import pytest

from tests.device.database import rows_about
from tests.device.device import CHECK_IN, REPORT, Device
from tests.device.server import Api, RunningServer
from tests.trust.timing import quickest, shortest

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_MIB = 1 << 20


def _list(inside: bytes, *, before: bytes = b"") -> bytes:
    return _DECLARATION + before + b'<plist version="1.0">' + inside + b"</plist>"


def _idle(extra: bytes = b"", *, udid: str = "%UDID%", before: bytes = b"") -> bytes:
    status = b"<key>Status</key><string>Idle</string>"
    name = b"<key>UDID</key><string>" + udid.encode() + b"</string>"
    return _list(b"<dict>" + status + name + extra + b"</dict>", before=before)


def _binary(*objects: bytes, top: int = 0) -> bytes:
    """A binary property list of these objects, one-byte offsets and references."""
    body, offsets = b"bplist00", []
    for data in objects:
        offsets.append(len(body))
        body += data
    table = bytes(offsets)
    return body + table + struct.pack(">6xBBQQQ", 1, 1, len(objects), top, len(body))


async def _refused(device: Device, body: bytes) -> None:
    """400 as a report and as a check-in, and nothing that is stored about the device changes."""
    body = body.replace(b"%UDID%", device.udid.encode())
    for url, kind in ((device.server_url, REPORT), (device.check_in_url, CHECK_IN)):
        reply = await device.send(url, body, content_type=kind)
        assert (reply.status, reply.body) == (400, b""), (kind, reply, body[:200])


_ENTITIES = {
    "billion laughs": b'<!DOCTYPE plist [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>',
    "quadratic": b'<!DOCTYPE plist [<!ENTITY d "' + b"x" * 50_000 + b'">]>',
    "a file": b'<!DOCTYPE plist [<!ENTITY d SYSTEM "file:///etc/passwd">]>',
    "an unused one": b'<!DOCTYPE plist [<!ENTITY x "y">]>',
    "an external subset": b'<!DOCTYPE plist SYSTEM "file:///etc/passwd">',
}


@pytest.mark.parametrize("before", _ENTITIES.values(), ids=_ENTITIES.keys())
async def test_c_01_entities_are_refused(device: Device, before: bytes) -> None:
    await _refused(device, _idle(b"<key>K</key><string>&d;</string>" * 5, before=before))


async def test_c_01_nothing_is_fetched_for_a_document(device: Device) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.dtd".encode()
        for before in (
            b'<!DOCTYPE plist [<!ENTITY % p SYSTEM "' + url + b'">%p;]>',
            b'<!DOCTYPE plist SYSTEM "' + url + b'">',
            b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "' + url + b'">',
        ):
            await _refused(device, _idle(before=before))
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(listener.accept)


@pytest.mark.parametrize("tag", [b"array", b"dict"])
async def test_c_03_a_hundred_thousand_levels_are_refused(device: Device, tag: bytes) -> None:
    opening = b"<" + tag + b">" + (b"<key>k</key>" if tag == b"dict" else b"")
    closing = b"</" + tag + b">"
    deep = opening * 40_000 if tag == b"dict" else opening * 100_000
    await _refused(device, _idle(b"<key>K</key>" + deep + closing * 10))


_LONG = {
    "comment": _idle(b"<!--" + b"x" * (_MIB - 1000) + b"-->"),
    "attribute": _idle(b'<key a="' + b"x" * (_MIB - 1000) + b'">K</key><true/>'),
    "CDATA": _idle(b"<key>K</key><true><![CDATA[" + b"x" * (_MIB - 1000) + b"]]></true>"),
    "processing instruction": _idle(b"<?x " + b"x" * (_MIB - 1000) + b"?><true/>"),
    "key": _idle(b"<key>" + b"x" * (_MIB - 1000) + b"</key>"),
    "tags": _list(b"<dict>" + b"<key>" * (_MIB // 6)),
}


@pytest.mark.parametrize("body", _LONG.values(), ids=_LONG.keys())
async def test_c_04_a_mebibyte_of_one_thing_takes_no_time(
    api: Api, device: Device, body: bytes
) -> None:
    async def once() -> None:
        reply = await device.send(device.server_url, body, content_type=REPORT)
        assert reply.status in (200, 400, 413), reply

    # The client takes most of this: it signs a mebibyte and sends it through TLS.
    await quickest(once, below=0.1)


_SHAPES = {
    "UDID twice": _idle(b"<key>UDID</key><string>%UDID%</string>"),
    "two roots": _list(b"<dict/><dict/>"),
    "an unknown element": _idle(b"<key>K</key><foo/>"),
    "an array": _list(b"<array><string>Idle</string></array>"),
    "a string": _list(b"<string>Idle</string>"),
    "no plist element": _DECLARATION + b"<dict><key>Status</key><string>Idle</string></dict>",
    "an undeclared entity": _idle(b"<key>K</key><string>&nbsp;</string>"),
    "two documents": _idle() + _idle(),
    "UTF-16": _idle().decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    "another encoding": _idle().replace(b"UTF-8", b"ISO-8859-1"),
    "broken UTF-8": _idle(b"<key>K</key><string>\xc3\x28</string>"),
    "digits of another script": _idle("<key>K</key><integer>٤٢</integer>".encode()),
    "an integer with underscores": _idle(b"<key>K</key><integer>1_000</integer>"),
    "an infinite one": _idle(b"<key>K</key><real>inf</real>"),
    "a huge hexadecimal one": _idle(b"<key>K</key><integer>0x" + b"f" * 100_000 + b"</integer>"),
    "no date": _idle(b"<key>K</key><date>2026-02-30T00:00:00Z</date>"),
    "empty": b"",
    "JSON": b'{"Status": "Idle", "UDID": "%UDID%"}',
}


_APPLES = {
    "a NUL": b"<string>Primary\0</string>",
    "an escape": b"<string>\x1b]0;x</string>",
    "no character": b"<string>\xef\xbf\xbf</string>",
    "the distant past": b"<date>0000-12-30T00:00:00Z</date>",
    "the distant future": b"<date>11476-01-01T00:00:00Z</date>",
    "not a number": b"<real>nan</real>",
    "infinity": b"<real>+infinity</real>",
}


@pytest.mark.parametrize("value", _APPLES.values(), ids=_APPLES.keys())
async def test_what_apples_encoder_writes_does_not_block_the_queue(
    api: Api, device: Device, value: bytes
) -> None:
    """No reader of XML takes it; but refused, the device sends the same report for ever."""
    uuid = await api.queue(device.id, "DeviceInformation", parameters={"Queries": ["OSVersion"]})
    behind = await api.queue(device.id, "ProfileList")
    command = (await device.idle()).command
    assert command is not None and command.uuid == uuid
    report = {**device.identification, "Status": "Acknowledged", "CommandUUID": uuid}
    body = plistlib.dumps({**report, "QueryResponses": {"OSVersion": "27.1", "Other": "@"}})
    body = body.replace(b"<string>@</string>", value)
    reply = await device.send(device.server_url, body, content_type=REPORT)
    assert reply.status == 200
    assert reply.command is not None and reply.command.uuid == behind
    shown = await api.command(uuid)
    assert shown["status"] == "acknowledged"
    assert shown["result"]["QueryResponses"]["OSVersion"] == "27.1"


@pytest.mark.parametrize("body", _SHAPES.values(), ids=_SHAPES.keys())
async def test_c_06_what_is_not_one_dictionary_is_refused(device: Device, body: bytes) -> None:
    await _refused(device, body)


_MESSAGES: list[dict[str, object]] = [
    {"MessageType": "Authenticate", "Topic": "t", "Model": "iPhone15,3", "SerialNumber": "C1"},
    {"MessageType": "TokenUpdate", "Topic": "t", "Token": bytes(32), "PushMagic": "M"},
    {"MessageType": "SetBootstrapToken", "BootstrapToken": bytes(64)},
    {"MessageType": "GetBootstrapToken"},
    {"MessageType": "CheckOut", "Topic": "t"},
    {"Status": "Idle"},
    {"Status": "Acknowledged", "CommandUUID": "x", "QueryResponses": {"OSVersion": "18.5"}},
    {"Status": "Error", "CommandUUID": "x", "ErrorChain": [{"ErrorCode": 1, "ErrorDomain": "D"}]},
    {"Status": "NotNow", "CommandUUID": "x"},
]


@pytest.mark.parametrize("message", _MESSAGES, ids=lambda message: " ".join(map(str, message)))
async def test_c_07_a_message_cut_off_anywhere_is_refused(
    server: RunningServer, device: Device, message: dict[str, object]
) -> None:
    whole = plistlib.dumps({**message, "UDID": device.udid}).rstrip()
    before = rows_about(server.data, device.id)
    for length in range(0, len(whole) - 1, 7):
        reply = await device.send(device.server_url, whole[:length], content_type=REPORT)
        assert reply.status == 400, (length, reply)
    assert rows_about(server.data, device.id) == before


_BASE64 = {
    "junk": b"!!!!",
    "an alphabet of another kind": b"ab-_",
    "padding inside": b"QQ==QQ==",
    "one character": b"A",
    "letters after the end": b"QUJD=QUJD",
}


@pytest.mark.parametrize("data", _BASE64.values(), ids=_BASE64.keys())
async def test_c_12_data_is_base64_or_refused(device: Device, data: bytes) -> None:
    await _refused(device, _idle(b"<key>K</key><data>" + data + b"</data>"))


async def test_c_12_a_mebibyte_of_data_takes_no_time(device: Device) -> None:
    body = _idle(b"<key>K</key><data>" + b"QUJD" * (_MIB // 5) + b"</data>")
    body = body.replace(b"%UDID%", device.udid.encode())

    async def once() -> None:
        reply = await device.send(device.server_url, body, content_type=REPORT)
        assert reply.status == 200, reply

    await quickest(once, below=0.1)


_BINARY = {
    "honest": plistlib.dumps({"Status": "Idle"}, fmt=plistlib.FMT_BINARY),
    "C-13 itself inside": _binary(b"\xa1\x00"),
    "C-13 two in a circle": _binary(b"\xa1\x01", b"\xa1\x00"),
    "C-15 2^30 references": _binary(*(bytes((0xA2, n + 1, n + 1)) for n in range(30)), b"\x09"),
    "C-16 deep": _binary(*(bytes((0xA1, n + 1)) for n in range(70)), b"\x09"),
    "C-16 a dictionary as key": _binary(b"\xd1\x01\x01", b"\xd0"),
    "C-16 UID": _binary(b"\x80\x01"),
    "C-16 a date that is none": _binary(b"\x33" + struct.pack(">d", float("nan"))),
    "C-16 128 bits": _binary(b"\x14" + b"\xff" * 16),
    "an array of 2^60": _binary(b"\xaf\x13" + struct.pack(">Q", 1 << 60)),
}


@pytest.mark.parametrize("body", _BINARY.values(), ids=_BINARY.keys())
async def test_c_13_to_16_binary_property_lists_are_refused_unread(
    device: Device, body: bytes
) -> None:
    await _refused(device, body)


async def test_nothing_of_this_slows_the_server_down(
    api: Api, server: RunningServer, device: Device
) -> None:
    """Meanwhile `/healthz` answers within 250 ms, memory does not grow, no traceback is logged.

    A busy machine lets a request wait, too: in one of a few attempts it must not.
    """
    assert server.process is not None
    hostile = [*_LONG.values(), *_SHAPES.values(), *_BINARY.values()]

    async def attack() -> None:
        for body in hostile * 3:
            await device.send(device.server_url, body, content_type=REPORT)

    await attack()
    before = _resident_mb(server.process.pid)

    async def nearly_longest_wait() -> float:
        attacking = asyncio.gather(attack(), attack())
        waits = []
        while not attacking.done():
            began = time.monotonic()
            async with api.session.get(server.url + "/healthz") as response:
                assert response.status == 200
            waits.append(time.monotonic() - began)
        await attacking
        return sorted(waits)[int(len(waits) * 0.99)]

    await shortest(nearly_longest_wait, below=0.25)
    assert _resident_mb(server.process.pid) - before < 20
    assert "Traceback" not in server.log.read_text()


def _resident_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20
