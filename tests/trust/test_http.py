"""Requests that HTTP does not allow, or not in this size: one clear answer, no leak, no 401."""

from __future__ import annotations

import asyncio
import plistlib
import ssl
import zlib
from pathlib import Path

import pytest

from tests.device.device import CHECK_IN, REPORT, Device
from tests.device.server import Api, RunningServer
from tests.trust.crowd import Line
from tests.trust.timing import quickest

_SECONDS = 60
_REQUEST = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\n"


async def _said(server: RunningServer, request: bytes, *, more: bytes = b"") -> bytes:
    """Everything the server says to this request on a connection of its own, until it closes."""
    line = await Line.open(server.port, server.tls)
    try:
        line.writer.write(request + more)
        return await line.rest(seconds=_SECONDS)
    finally:
        line.close()


_NEXT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_OLD = b"PUT /mdm HTTP/1.0\r\nHost: localhost\r\n"
_SMUGGLED = {
    "length and chunks": _REQUEST + b"Content-Length: 5\r\n" + _CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": _REQUEST + _CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": _REQUEST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": _REQUEST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "lengths in a list": _REQUEST + b"Content-Length: 5, 5\r\n\r\nhello",
    "+4": _REQUEST + b"Content-Length: +4\r\n\r\nbody",
    "0x4": _REQUEST + b"Content-Length: 0x4\r\n\r\nbody",
    "-1": _REQUEST + b"Content-Length: -1\r\n\r\n",
    "a length of letters": _REQUEST + b"Content-Length: four\r\n\r\n",
    "an empty length": _REQUEST + b"Content-Length: \r\n\r\n",
    "an odd encoding": _REQUEST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": _REQUEST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": _REQUEST + _CHUNKED + _CHUNKED + b"\r\n0\r\n\r\n",
    "a negative chunk": _REQUEST + _CHUNKED + b"\r\n-1\r\n\r\n",
    "a chunk without size": _REQUEST + _CHUNKED + b"\r\n\r\n\r\n",
    "a huge chunk": _REQUEST + _CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n",
    "space before the colon": _REQUEST + b"Content-Length : 0\r\n\r\n",
    "a folded line": _REQUEST + b"X: a\r\n b\r\n\r\n",
    "bare line feeds": b"PUT /mdm HTTP/1.1\nHost: localhost\n\n",
    "a bare carriage return": _REQUEST + b"X: a\rb\r\n\r\n",
    "a NUL": _REQUEST + b"X: a\0b\r\n\r\n",
    "no Host": b"PUT /mdm HTTP/1.1\r\n\r\n",
    "two Hosts": _REQUEST + b"Host: example.org\r\n\r\n",
    "a header without name": _REQUEST + b": x\r\n\r\n",
    "a line without colon": _REQUEST + b"nonsense\r\n\r\n",
    "a method of symbols": b"P(T /mdm HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another protocol": b"PUT /mdm HTCPCP/1.0\r\nHost: localhost\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"PUT /mdm HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0 in the form of HTTP/1.1": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "a Host of no letters": b"GET /enroll HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "a Host with markup": b"GET /enroll HTTP/1.1\r\nHost: <b>localhost</b>\r\n\r\n",
    "spaces in the target": b"PUT /m dm HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "chunks of HTTP/1.0": _OLD + _CHUNKED + b"\r\n0\r\n\r\n",
    "chunks of HTTP/1.0, kept alive": (
        _OLD + _CHUNKED + b"Connection: keep-alive\r\n\r\n0\r\n\r\n"
    ),
    "chunks of HTTP/1.0 without an end": _OLD + _CHUNKED + b"\r\n",
    "HTTP/1.0 for the health": (
        b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n" + _CHUNKED + b"\r\n0\r\n\r\n"
    ),
    "nonsense": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


@pytest.mark.parametrize("request_", _SMUGGLED.values(), ids=_SMUGGLED.keys())
async def test_c_18_what_two_readers_could_read_differently_is_refused(
    server: RunningServer, api: Api, request_: bytes
) -> None:
    """400 and the end of the connection: what follows is never read as a second request."""
    said = await _said(server, request_, more=_NEXT)
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), said[:200]
    assert said.count(b"HTTP/1.") == 1, said
    assert b"aiohttp" not in said


_TARGETS = [
    "//healthz", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/static/%00", "/mdm%00",
    "/mdm;x", "/mdm/../api/v1/devices", "/MDM", "/mdm/", "/e/%2e%2e", "/e/..",
    "http://example.org/mdm", "https://example.org/api/v1/devices", "*", "/\\mdm",
]  # fmt: skip


@pytest.mark.parametrize("target", _TARGETS)
async def test_c_18_odd_targets_open_nothing(server: RunningServer, api: Api, target: str) -> None:
    for method in ("GET", "PUT"):
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        said = await _said(server, f"{head}Content-Length: 0\r\n\r\n".encode())
        status = int(said[9:12])
        assert status in (301, 303, 308, 400, 403, 404, 405, 421), said[:300]
        assert b"root:" not in said
        assert b"aiohttp" not in said


async def test_c_09_a_message_is_read_as_its_kind_says_or_by_what_it_says(device: Device) -> None:
    """Where the content type is that of no message, or is missing, the keys decide."""
    idle = {**device.identification, "Status": "Idle"}
    update = {
        **device.identification, "MessageType": "TokenUpdate", "Topic": device.topic,
        "Token": device.token, "PushMagic": device.push_magic,
    }  # fmt: skip
    for message in (idle, update):
        assert (await device.send(device.server_url, message, content_type=None)).status == 200
        for kind in ("application/json", "text/html", "multipart/form-data; boundary=x"):
            reply = await device.send(device.server_url, message, content_type=kind)
            assert reply.status == 200, (kind, reply)
    assert (await device.send(device.server_url, idle, content_type=CHECK_IN)).status == 400
    assert (await device.send(device.check_in_url, update, content_type=REPORT)).status == 400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress", "identity, gzip"])
@pytest.mark.parametrize("path", ["/mdm", "/scep?operation=PKIOperation", "/api/v1/commands"])
async def test_c_10_packed_bodies_are_refused_before_they_are_read(
    server: RunningServer, api: Api, path: str, coding: str
) -> None:
    bomb = zlib.compress(bytes(4 << 20), 9, wbits=31)
    method = "PUT" if path == "/mdm" else "POST"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: {coding}\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Length: {len(bomb)}\r\n\r\n"
    )
    line = await Line.open(server.port, server.tls)
    answer = await line.ask(head.encode(), seconds=_SECONDS)  # not a byte of the body was sent
    line.close()
    assert answer.status == 415, answer


@pytest.mark.parametrize("path", ["/mdm", "/scep?operation=PKIOperation", "/login"])
async def test_c_10_nobody_is_invited_to_send_a_gigabyte(
    server: RunningServer, api: Api, path: str
) -> None:
    method = "PUT" if path == "/mdm" else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    line = await Line.open(server.port, server.tls)
    answer = await line.ask(f"{head}Content-Length: {1 << 30}\r\n\r\n".encode(), seconds=_SECONDS)
    line.close()
    assert answer.status == 413, answer


_LARGE = {
    "100,000 headers": b"".join(b"X-%d: y\r\n" % n for n in range(100_000)),
    "one header of 8 MB": b"X: " + b"y" * (8 << 20) + b"\r\n",
    "10,000 cookies": b"Cookie: " + b"; ".join(b"c%d=x" % n for n in range(10_000)) + b"\r\n",
}


@pytest.mark.parametrize("headers", _LARGE.values(), ids=_LARGE.keys())
async def test_c_19_too_many_headers_are_refused(
    server: RunningServer, api: Api, headers: bytes
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    said = await _said(server, request + headers + b"\r\n")
    assert said[9:12] in (b"400", b"431", b""), said[:200]  # closed while it was being sent
    assert (await api.session.get(server.url + "/healthz")).status == 200


_LONG_LINES = b"".join(b"X-%d: " % n + b"y" * 50_000 + b"\r\n" for n in range(12))


async def test_c_19_many_long_headers_are_refused_before_they_are_kept(
    server: RunningServer, api: Api
) -> None:
    """Each is allowed; all that may come would be megabytes, of a connection without a request."""
    head = _NEXT.removesuffix(b"\r\n")
    assert (await _said(server, head + _LONG_LINES[:60_000] + b"\r\n\r\n"))[9:12] == b"200"
    said = await _said(server, head + _LONG_LINES + b"\r\n")
    assert said[9:12] in (b"431", b""), said[:200]


async def test_c_19_nor_may_they_follow_a_body(server: RunningServer, api: Api) -> None:
    said = await _said(
        server, _REQUEST + _CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + _LONG_LINES + b"\r\n", more=_NEXT
    )
    assert b"200 OK" not in said, said[:200]
    assert (await api.session.get(server.url + "/healthz")).status == 200


async def test_c_19_a_long_address_is_refused(server: RunningServer, api: Api) -> None:
    said = await _said(
        server,
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    assert said[9:12] in (b"400", b"404", b"414"), said[:100]


async def test_c_21_a_thousand_requests_in_one_go_and_a_storm_of_resets_leave_nothing(
    server: RunningServer, api: Api
) -> None:
    assert server.process is not None
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    line = await Line.open(server.port, server.tls)
    line.writer.write(_NEXT.replace(b"Connection: close\r\n", b"") * 999 + _NEXT)
    said = await line.rest(seconds=_SECONDS)
    line.close()
    assert said.count(b"HTTP/1.1 200") == 1000
    for _ in range(10):
        lines = await asyncio.gather(*(Line.open(server.port, server.tls) for _ in range(30)))
        for line in lines:
            line.writer.write(_REQUEST + b"Content-Length: 100\r\n\r\nhalf")
            line.close()  # RST
    async with asyncio.timeout(_SECONDS):
        while len(list(descriptors.iterdir())) > before + 5:
            await asyncio.sleep(0.2)


async def test_c_22_many_small_pieces_take_little_time(
    server: RunningServer, api: Api, device: Device
) -> None:
    body = plistlib.dumps({**device.identification, "Status": "Idle", "X": "y" * 20_000})
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = (
        f"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nContent-Type: {REPORT}\r\n"
        f"Mdm-Signature: {device.signature(body)}\r\n"
    ).encode()

    async def once() -> None:
        line = await Line.open(server.port, server.tls)
        answer = await line.ask(head + _CHUNKED + b"\r\n" + pieces, seconds=_SECONDS)
        line.close()
        assert answer.status == 200

    await quickest(once, below=2)
    fields = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\ny\r\n' % n for n in range(10_000)
    )
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
    said = await _said(server, head + kind % len(fields) + fields)
    assert said[9:10] == b"4", said[:200]


async def test_a_25_plain_http_old_tls_and_odd_names_end_cleanly(
    server: RunningServer, api: Api
) -> None:
    plain = await Line.open(server.port, None)
    plain.writer.write(_NEXT)
    assert await plain.is_closed(seconds=_SECONDS)
    plain.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Line.open(server.port, old)
    timed = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    timed.check_hostname, timed.verify_mode = False, ssl.CERT_NONE
    timed.maximum_version = ssl.TLSVersion.TLSv1_2
    timed.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Line.open(server.port, timed)
    for name in ("203.0.113.9", "another.example.org", "x" * 60):
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        streams = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=anyone, server_hostname=name
        )
        line = Line(*streams)
        answer = await line.ask(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", seconds=_SECONDS
        )
        line.close()
        assert answer.status == 200, "devices must reach the server by any name that leads here"
