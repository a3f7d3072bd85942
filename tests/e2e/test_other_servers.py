"""Servers set up otherwise: without a push certificate, with TLS client certificates."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator

import pytest

from appliance.simulator.cms import pem
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has no push certificate."""
    running = start_server(tmp_path_factory.mktemp("fresh") / "data", push_certificate=False)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose listener asks for client certificates."""
    environment = {
        "APPLIANCE_SERVER__CLIENT_CERTIFICATES": "true",
        "APPLIANCE_ENROLL__LAB_TOPIC": "com.apple.mgmt.External.lab",
    }
    data = tmp_path_factory.mktemp("mutual") / "data"
    running = start_server(data, environment=environment, push_certificate=False)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that believes a proxy on this machine."""
    environment = {"APPLIANCE_SERVER__TRUSTED_PROXIES": "127.0.0.1/32"}
    running = start_server(tmp_path_factory.mktemp("proxied") / "data", environment=environment)
    yield running
    running.stop()


async def test_a_trusted_proxys_header_identifies_the_device(proxied: RunningServer) -> None:
    async with proxied.session() as session:
        api = Api(proxied, session)
        device, other = await api.enroll(), await api.enroll()
        assert device.identity is not None
        assert other.identity is not None
        device.signs = False
        assert (await device.idle()).status == 400
        escaped = urllib.parse.quote(pem(device.identity.certificate).decode())
        for value in (f":{base64.b64encode(device.identity.der).decode()}:", escaped):
            device.headers = {"Client-Cert": value}
            assert (await device.idle()).status == 200
        device.headers = {"Client-Cert": f":{base64.b64encode(other.identity.der).decode()}:"}
        assert (await device.idle()).status == 400


async def test_without_a_push_certificate_enrollment_is_refused_with_the_reason(
    fresh: RunningServer,
) -> None:
    async with fresh.session() as session:
        api = Api(fresh, session)
        answer = await api.post("/api/v1/enrollment-links", {"uses": 1})
        if answer.status == 201:
            async with session.get(answer.json["profile_url"]) as response:
                status, text = response.status, await response.text()
        else:
            status, text = answer.status, answer.text
    assert status in (409, 503)
    assert "push certificate" in text.lower()


async def test_a_push_certificate_takes_effect_without_a_restart(fresh: RunningServer) -> None:
    async with fresh.session() as session:
        api = Api(fresh, session)
        assert (await fresh.import_push_certificate(api)).status in (200, 201)
        shown = (await api.get("/api/v1/push-certificate")).json
        assert shown["topic"] == fresh.topic
        device = await api.enroll()
        assert device.topic == fresh.topic


async def test_a_tls_client_certificate_identifies_the_device(mutual: RunningServer) -> None:
    async with mutual.session() as session:
        api = Api(mutual, session)
        device = Device(session)
        await device.obtain_identity(await api.profile())
        assert device.topic == "com.apple.mgmt.External.lab"
        device.signs = False
        device.presents_certificate = True
        assert (await device.authenticate()).status == 200
        assert (await device.token_update()).status == 200
        queued = await api.queue(device.id)
        command = (await device.idle()).command
        assert command is not None
        assert command.uuid == queued
        device.presents_certificate = False
        assert (await device.idle()).status == 400


async def test_signature_and_client_certificate_must_be_the_same_identity(
    mutual: RunningServer,
) -> None:
    async with mutual.session() as session:
        api = Api(mutual, session)
        device, other = await api.enroll(), await api.enroll()
        device.presents_certificate = True
        assert (await device.idle()).status == 200
        device.signs = False
        device.headers = {"Mdm-Signature": other.signature(b"")}
        assert (await device.idle()).status == 400
