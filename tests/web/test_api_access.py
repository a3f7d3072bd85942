"""Who is let in: tokens, scopes, networks, host names, origins."""

from __future__ import annotations

import base64
import time
from dataclasses import replace

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import local_api, open_appliance
from appliance.config import Config, LimitsConfig
from appliance.errors import TooMany
from appliance.web import site
from appliance.web.authentication import RateLimit

from .api_client import ApiClient

DEVICES = "/api/v1/devices"


async def test_without_a_token_the_answer_is_401_with_a_hint(api: ApiClient) -> None:
    answer = await api.call("GET", DEVICES, token=None)
    assert answer.status == 401
    assert answer.json["code"] == "auth.required"
    assert "appliance token create" in answer.json["hint"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("token", ["", "apl", "apl_x_y", "apl_0_" + "x" * 5000, "a\tb"])
async def test_a_wrong_token_is_401_and_not_echoed(api: ApiClient, token: str) -> None:
    answer = await api.call("GET", DEVICES, token=token)
    assert answer.status == 401
    assert not token or token not in answer.text


@pytest.mark.parametrize("name", ["token", "access_token", "api_key"])
async def test_d10_a_token_in_the_query_is_refused(api: ApiClient, name: str) -> None:
    answer = await api.call("GET", f"{DEVICES}?{name}={api.token}", token=None)
    assert answer.status == 422
    assert answer.json["code"] == "auth.token_in_query"
    assert api.token not in answer.text


async def test_a_revoked_token_is_refused_at_once(api: ApiClient) -> None:
    token = await api.new_token("read")
    assert (await api.call("GET", DEVICES, token=token)).status == 200
    assert (await api.call("DELETE", "/api/v1/tokens/read")).status == 204
    assert (await api.call("GET", DEVICES, token=token)).status == 401


@pytest.mark.parametrize("user", ["nanomdm", "micromdm", "kmfddm", "nanohub", "nanocmd"])
async def test_basic_authentication_takes_the_token_as_password(api: ApiClient, user: str) -> None:
    basic = base64.b64encode(f"{user}:{api.token}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    assert (await api.call("GET", DEVICES, token=None, headers=headers)).status == 200


async def test_basic_authentication_knows_only_those_users(api: ApiClient) -> None:
    basic = base64.b64encode(f"root:{api.token}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    assert (await api.call("GET", DEVICES, token=None, headers=headers)).status == 401


async def test_a_missing_scope_is_named(api: ApiClient) -> None:
    token = await api.new_token("read")
    answer = await api.call("POST", "/api/v1/enrollment-links", {}, token=token)
    assert answer.status == 403
    assert answer.json["code"] == "auth.scope_missing"
    assert "write" in answer.json["detail"]


async def test_admin_includes_read_and_write_but_not_danger(api: ApiClient) -> None:
    token, device = await api.new_token("admin"), api.enroll("one")
    assert (await api.call("GET", DEVICES, token=token)).status == 200
    assert (await api.call("POST", "/api/v1/enrollment-links", {}, token=token)).status == 201
    body = {"targets": [device], "request_type": "EraseDevice"}
    body["confirm"] = {"serial_number": "SERIAL-one"}  # type: ignore[assignment]
    answer = await api.call("POST", "/api/v1/commands", body, token=token)
    assert (answer.status, answer.json["code"]) == (403, "auth.scope_missing")


async def test_a_token_cannot_give_away_what_it_does_not_have(api: ApiClient) -> None:
    token = await api.new_token("admin")
    body = {"name": "more", "scopes": ["danger"]}
    assert (await api.call("POST", "/api/v1/tokens", body, token=token)).status == 403


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "169.254.1.1.nip.io"])
async def test_d15_a_rebound_name_is_refused(api: ApiClient, host: str) -> None:
    answer = await api.call("GET", DEVICES, headers={"Host": host})
    assert answer.status == 403


@pytest.mark.parametrize("host", ["mdm.example.com:8443", "localhost:1", "127.0.0.1", "[::1]:8443"])
async def test_our_own_names_and_addresses_are_let_in(api: ApiClient, host: str) -> None:
    assert (await api.call("GET", DEVICES, headers={"Host": host})).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_d16_a_page_of_another_site_is_refused(api: ApiClient, origin: str) -> None:
    answer = await api.call("GET", DEVICES, headers={"Origin": origin})
    assert (answer.status, answer.json["code"]) == (403, "auth.refused")
    preflight = await api.call("OPTIONS", DEVICES, token=None, headers={"Origin": origin})
    for given in (answer, preflight):
        assert "Access-Control-Allow-Origin" not in given.headers


async def test_d13_every_answer_of_the_api_forbids_framing_and_sniffing(api: ApiClient) -> None:
    for path in (DEVICES, "/api/v1/nothing", "/api/docs"):
        answer = await api.call("GET", path)
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_addresses_outside_admin_allow_are_refused(config: Config) -> None:
    config = replace(config, server=replace(config.server, admin_allow=("192.0.2.0/24",)))
    async with open_appliance(config) as parts:
        _, token = await parts.services.tokens.create("t", ["read"])
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        async with TestClient(TestServer(application)) as client:
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "192.0.2.1"}
            for path in (DEVICES, "/metrics", "/api/docs", "/v1/push/x"):
                assert (await client.get(path, headers=headers)).status == 403
            assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (None, 200),
        ("192.168.1.7", 200),
        ("203.0.113.9", 403),
        ("192.168.1.7, 203.0.113.9", 403),  # what the client itself said comes first
        ("203.0.113.9, 192.168.1.7, 127.0.0.1", 200),  # the last is another of our proxies
        ("unknown", 403),
    ],
)
async def test_behind_a_trusted_proxy_the_network_is_that_of_its_client(
    config: Config, forwarded: str | None, status: int
) -> None:
    config = replace(config, server=replace(config.server, trusted_proxies=("127.0.0.0/8",)))
    async with open_appliance(config) as parts:
        _, token = await parts.services.tokens.create("t", ["read"])
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        async with TestClient(TestServer(application)) as client:
            headers = {"Authorization": f"Bearer {token}"}
            if forwarded is not None:
                headers["X-Forwarded-For"] = forwarded
            assert (await client.get(DEVICES, headers=headers)).status == status


async def test_a_token_over_its_rate_is_told_when_to_come_back(config: Config) -> None:
    config = replace(config, limits=LimitsConfig(api_per_second=3, exempt=()))
    async with open_appliance(config) as parts:
        _, token = await parts.services.tokens.create("t", ["read"])
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        async with TestClient(TestServer(application)) as client:
            headers = {"Authorization": f"Bearer {token}"}
            answers = [await client.get(DEVICES, headers=headers) for _ in range(8)]
            assert answers[0].status == 200
            assert answers[-1].status == 429
            assert answers[-1].headers["Retry-After"] == "1"


def test_the_rate_limit_refills() -> None:
    limit, now = RateLimit(2), time.monotonic()
    limit.take("a", now)
    limit.take("a", now)
    with pytest.raises(TooMany):
        limit.take("a", now)
    limit.take("b", now)
    limit.take("a", now + 0.6)


async def test_the_local_socket_needs_no_token(config: Config) -> None:
    async with local_api(config) as parts:
        connector = aiohttp.UnixConnector(str(parts.directory.socket))
        async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
            async with session.get("/api/v1/tokens") as response:
                assert response.status == 200
