"""Strangers: bodies that break off, odd tokens, floods; none of them is a failure of ours."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import open_appliance
from appliance.config import Config, LimitsConfig
from appliance.errors import Busy, TooMany
from appliance.web import site
from appliance.web.addresses import parse_address, within
from appliance.web.connections import Connections
from appliance.web.scep import ScepLimit
from tests.device.server import RunningServer

from .api_client import ApiClient

_BROKEN_OFF = (
    b"Content-Length: 5000\r\n\r\n<plist",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n<plis\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n<plis\r\n3\r\nt/",
)


async def _break_off(server: RunningServer, head: bytes, *, then: bytes = b"") -> None:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=server.tls, server_hostname="localhost"
    )
    writer.write(b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\n" + head)
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.write(then)
    await asyncio.sleep(0.1)
    writer.transport.abort()


def test_a_body_that_breaks_off_is_refused_without_a_traceback(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")  # only the real one does not cancel its handlers
    server.initialise()
    server.start()
    try:
        for head in _BROKEN_OFF:
            asyncio.run(_break_off(server, head))
        asyncio.run(_break_off(server, _BROKEN_OFF[1], then=b"nonsense\r\n"))
    finally:
        assert server.stop() == 0
    log = server.log.read_text()
    assert log.count("the body ended early") >= len(_BROKEN_OFF)
    assert "traceback" not in log.lower()


@pytest.mark.parametrize("token", ["apl_ü_ö", "apl_a_\udcff", "ü", "apl_"])
@pytest.mark.parametrize("scheme", [b"Bearer", b"Basic"])
async def test_a_token_of_any_characters_is_401_at_worst(
    api: ApiClient, token: str, scheme: bytes
) -> None:
    raw = token.encode("utf-8", "surrogateescape")
    server = api.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = b"GET /api/v1/devices HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    writer.write(head + b"Authorization: " + scheme + b" " + raw + b"\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 401")
    writer.close()


@pytest.mark.parametrize(("error", "status"), [(Busy("full"), 503), (sqlite3.Error("x"), 500)])
async def test_what_no_handler_caught_is_a_status_and_one_line_of_log(
    api: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
) -> None:
    async def failing(*_: Any) -> bytes:
        raise error

    monkeypatch.setattr(api.parts.services.ca, "crl", failing)
    answer = await api.client.get("/ca.crl")
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "sqlite" not in await answer.text()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_readyz_says_why_not(api: ApiClient) -> None:
    assert await (await api.client.get("/readyz")).json() == {"ready": True}
    api.parts.services.status.job_errors["push"] = "secret detail"
    answer = await api.client.get("/readyz")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert await answer.json() == {"ready": False, "reasons": ["job push fails"]}
    api.parts.services.status.job_errors.clear()
    api.parts.store_failure.set()
    answer = await api.client.get("/readyz")
    assert (await answer.json())["reasons"] == ["the store has failed"]


@pytest.mark.parametrize("path", ["/scep", "/scep/", "/scep/pkiclient.exe"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_scep_answers_at_every_spelling_of_its_path(
    api: ApiClient, path: str, method: str
) -> None:
    answer = await api.client.request(method, path, params={"operation": "GetCACaps"})
    assert answer.status == 200


def test_one_address_cannot_use_up_the_share_of_all() -> None:
    limit = ScepLimit(LimitsConfig(exempt=(), scep_per_minute=5, scep_per_second=10))
    greedy, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    refused = 0
    for _ in range(50):
        try:
            limit.count(greedy)
        except TooMany:
            refused += 1
    assert refused >= 45 - 5  # a minute may have turned in between
    limit.count(other)
    limit.count(None)


def test_whoever_changes_the_ipv6_address_at_will_is_one() -> None:
    limit = ScepLimit(LimitsConfig(exempt=(), scep_per_minute=5, scep_per_second=100))
    refused = 0
    for number in range(50):
        try:
            limit.count(ip_address(f"2001:db8::{number:x}"))
        except TooMany:
            refused += 1
    assert refused >= 45 - 5  # a minute may have turned in between
    limit.count(ip_address("2001:db8:0:1::1"))


async def never(_request: web.BaseRequest) -> web.Response:
    """No request comes."""
    raise AssertionError


async def test_connections_are_counted_so_as_well(config: Config) -> None:
    limits = replace(config.limits, connections_per_address=2)
    connections = Connections(replace(config, limits=limits), 100)
    server = web.Server(never)
    for number in (1, 2):
        connections.open(server, ip_address(f"2001:db8::{number}"))
    assert not connections.admits(ip_address("2001:db8::3"))
    assert connections.admits(ip_address("2001:db8:0:1::1"))
    await connections.finish()


async def test_whoever_has_a_link_cannot_fill_the_store_with_profiles(config: Config) -> None:
    config = replace(
        config,
        enroll=replace(config.enroll, lab_topic="com.apple.mgmt.External.lab", open=True),
        limits=LimitsConfig(exempt=(), scep_per_minute=3),
    )
    async with open_appliance(config) as parts:
        link = await parts.services.enrolling.create_link()
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        async with TestClient(TestServer(application)) as client:
            paths = (f"/e/{link.code}/enroll.mobileconfig", "/enroll/enroll.mobileconfig")
            answers = [await client.get(path) for path in paths * 8]
            assert (await client.get(f"/e/{link.code}")).status == 200, "the page stays open"
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 16 - 6  # a minute may have turned in between
    assert 1 <= int(refused[0].headers["Retry-After"]) <= 60


def test_addresses_in_every_form_are_understood() -> None:
    assert parse_address(None) is None
    assert parse_address("") is None
    assert parse_address("fe80::1%eth0") == ip_address("fe80::1")
    assert parse_address("::ffff:192.0.2.1") == ip_address("192.0.2.1")
    assert not within(None, [])
    exempt = ScepLimit(LimitsConfig(scep_per_minute=1))
    for _ in range(5):
        exempt.count(parse_address("::ffff:127.0.0.1"))
