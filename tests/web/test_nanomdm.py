"""NanoMDM's API, called as its tools call it."""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

from appliance.app import Parts, open_appliance
from appliance.config import ApiConfig, Config
from appliance.errors import Busy
from appliance.services.push import PushService
from appliance.web import site
from appliance.web.nanomdm import Outcome

from .api_client import Answer, ApiClient
from .conftest import ALL_SCOPES
from .test_api_resources import pem, push_certificate

PREFIXES = ["/v1", "/api/v1/nanomdm"]


def command(request_type: str = "ProfileList") -> tuple[str, bytes]:
    """A raw command as `cmdr.py` writes it."""
    command_uuid = str(uuid.uuid4())
    raw = {"Command": {"RequestType": request_type}, "CommandUUID": command_uuid}
    return command_uuid, plistlib.dumps(raw)


async def call(
    api: ApiClient, method: str, path: str, data: bytes = b"", token: str | None = None
) -> tuple[int, Any]:
    """One request with Basic auth; status and JSON."""
    answered = await answer(api, method, path, data, token)
    return answered.status, answered.json


async def answer(
    api: ApiClient, method: str, path: str, data: bytes = b"", token: str | None = None
) -> Answer:
    """One request with Basic auth."""
    basic = aiohttp.encode_basic_auth("nanomdm", token or api.token)
    return await api.call(method, path, data=data, token=None, headers={"Authorization": basic})


@asynccontextmanager
async def limited(parts: Parts, **limits: int) -> AsyncIterator[ApiClient]:
    """The application with limits from which nobody is exempt."""
    config = replace(parts.config, limits=replace(parts.config.limits, exempt=(), **limits))
    application = site.application(
        config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
    )
    _, token = await parts.services.tokens.create("tests", ALL_SCOPES)
    async with TestClient(TestServer(application)) as client:
        yield ApiClient(client, parts, token)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_command_is_queued_without_push(api: ApiClient, prefix: str) -> None:
    api.enroll("one")
    command_uuid, raw = command()
    status, answer = await call(api, "PUT", f"{prefix}/enqueue/one?nopush=1", raw)
    expected = {"no_push": True, "command_uuid": command_uuid, "request_type": "ProfileList"}
    assert (status, answer) == (200, expected)
    shown = (await api.call("GET", f"/api/v1/commands/{command_uuid}")).json
    assert (shown["target"], shown["status"]) == ("one", "queued")


async def test_some_failures_are_207_and_only_failures_500(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid, raw = command()
    status, answer = await call(api, "PUT", "/v1/enqueue/one,nobody?nopush=1", raw)
    assert status == 207
    assert set(answer["status"]) == {"nobody"}
    assert "nobody" in answer["status"]["nobody"]["command_error"]
    status, answer = await call(api, "POST", "/v1/enqueue/nobody?no_push=1", raw)
    assert (status, answer["command_uuid"]) == (500, command_uuid)


async def test_a_second_command_of_one_uuid_is_an_error(api: ApiClient) -> None:
    api.enroll("one")
    _, raw = command()
    assert (await call(api, "PUT", "/v1/enqueue/one?nopush=1", raw))[0] == 200
    status, answer = await call(api, "PUT", "/v1/enqueue/one?nopush=1", raw)
    assert (status, "command_error" in answer["status"]["one"]) == (500, True)


def test_a_push_makes_no_success_of_a_command_that_was_refused() -> None:
    outcome = Outcome()
    outcome.add("one", "command_error", "it has had this command")
    outcome.add("one", "push_result", "an-apns-id")
    assert outcome.answer().status == 500
    outcome.attempts += 1  # another got the command
    assert outcome.answer().status == 207


async def test_a_failed_push_leaves_the_command_queued(api: ApiClient) -> None:
    api.enroll("one")
    command_uuid, raw = command()
    status, answer = await call(api, "PUT", "/v1/enqueue/one", raw)
    assert status == 207
    assert "push_error" in answer["status"]["one"]
    assert (await api.call("GET", f"/api/v1/commands/{command_uuid}")).status == 200


async def test_a_push_without_a_certificate_says_so(api: ApiClient) -> None:
    api.enroll("one")
    status, answer = await call(api, "GET", "/v1/push/one,two")
    assert status == 500
    assert set(answer["status"]) == {"one", "two"}


async def test_what_is_no_command_is_400(api: ApiClient) -> None:
    for raw in (b"", b"{}", b"<plist/>", plistlib.dumps({"Command": {}})):
        status, answer = await call(api, "PUT", "/v1/enqueue/one", raw)
        assert (status, "command_error" in answer) == (400, True)


async def test_a_dangerous_command_needs_the_scope_and_no_confirmation(api: ApiClient) -> None:
    api.enroll("one")
    write, danger = await api.new_token("write"), await api.new_token("write", "danger")
    _, raw = command("EraseDevice")
    status, _ = await call(api, "PUT", "/v1/enqueue/one?nopush=1", raw, write)
    assert status == 500
    status, _ = await call(api, "PUT", "/v1/enqueue/one?nopush=1", raw, danger)
    assert status == 200


@pytest.mark.parametrize("path", ["/v1/push/,", "/v1/enqueue/,", "/v1/enqueue/,?nopush=1"])
async def test_nobody_is_no_success(api: ApiClient, path: str) -> None:
    status, answer = await call(api, "PUT", path, command()[1])
    assert (status, answer) == (400, {"error": "no enrollment ID is named"})


async def test_d_09_one_request_erases_no_fleet(api: ApiClient) -> None:
    ids = ",".join(api.enroll(name) for name in ("one", "two"))
    _, raw = command("EraseDevice")
    status, answer = await call(api, "PUT", f"/v1/enqueue/{ids}?nopush=1", raw)
    assert status == 500
    assert "one device at a time" in answer["status"]["two"]["command_error"]
    with api.database() as db:
        assert db.execute("SELECT count(*) FROM commands").fetchone() == (0,)


async def test_a_reader_may_not_use_it(api: ApiClient) -> None:
    status, answer = await call(api, "GET", "/v1/push/one", token=await api.new_token("read"))
    assert status == 403
    assert isinstance(answer["error"], str)
    async with api.client.get("/v1/push/one") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_push_certificate_is_stored_and_shown(api: ApiClient, prefix: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    topic = "com.apple.mgmt.External.nano"
    certificate, private = pem(key, push_certificate(key, topic))
    status, answer = await call(api, "PUT", f"{prefix}/pushcert", (private + certificate).encode())
    assert (status, answer["topic"]) == (200, topic)
    assert answer["not_after"].endswith("Z")
    assert await call(api, "GET", f"{prefix}/pushcert?topic={topic}") == (200, answer)
    missing = (400, {"error": "missing required query parameter: topic"})
    assert await call(api, "GET", f"{prefix}/pushcert") == missing
    assert (await call(api, "GET", f"{prefix}/pushcert?topic=other"))[0] == 500
    assert (await call(api, "PUT", f"{prefix}/pushcert", certificate.encode()))[0] == 400


async def test_its_push_certificate_keeps_the_account_that_was_noted(api: ApiClient) -> None:
    key = rsa.generate_private_key(65537, 2048)
    certificate, private = pem(key, push_certificate(key, "com.apple.mgmt.External.nano"))
    body = {"certificate": certificate, "private_key": private, "account": "it@example.com"}
    assert (await api.call("PUT", "/api/v1/push-certificate", body)).status == 200
    assert (await call(api, "PUT", "/v1/pushcert", (certificate + private).encode()))[0] == 200
    shown = (await api.call("GET", "/api/v1/push-certificate")).json
    assert shown["account"] == "it@example.com"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_over_the_limit_of_requests_it_says_when_to_come_back(
    parts: Parts, prefix: str
) -> None:
    async with limited(parts, api_per_second=1) as api:
        answers = [await answer(api, "GET", f"{prefix}/pushcert?topic=x") for _ in range(4)]
    over = [one for one in answers if one.status == 429]
    assert over
    assert all(int(one.headers["Retry-After"]) > 0 for one in over)
    assert all(isinstance(one.json["error"], str) for one in over)


async def test_d_09_over_the_limit_of_dangerous_commands_it_is_429(parts: Parts) -> None:
    async with limited(parts, dangerous_per_hour=1) as api:
        api.enroll("one")
        first = await answer(api, "PUT", "/v1/enqueue/one?nopush=1", command("DeviceLock")[1])
        second = await answer(api, "PUT", "/v1/enqueue/one?nopush=1", command("DeviceLock")[1])
    assert (first.status, second.status) == (200, 429)
    assert 0 < int(second.headers["Retry-After"]) <= 3600
    assert "dangerous commands an hour" in second.json["error"]


async def test_a_busy_store_says_when_to_come_back(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise Busy("the store cannot be read now")

    monkeypatch.setattr(PushService, "status", busy)
    busy_now = await answer(api, "GET", "/v1/pushcert?topic=x")
    assert (busy_now.status, int(busy_now.headers["Retry-After"])) == (503, 5)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_no_error_is_a_problem_document(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(PushService, "status", fail)
    refused = [
        await answer(api, "DELETE", f"{prefix}/pushcert"),
        await answer(api, "GET", f"{prefix}/nothing"),
        await answer(api, "GET", f"{prefix}/pushcert?topic=x"),
    ]
    assert [one.status for one in refused] == [405, 404, 500]
    assert refused[0].headers["Allow"] == "GET,HEAD,PUT"
    for one in refused:
        assert one.headers["Content-Type"].startswith("text/plain"), one
        assert "a fault of ours" not in one.text


async def test_it_can_be_switched_off(config: Config) -> None:
    config = replace(config, api=ApiConfig(compat_nanomdm=False))
    async with open_appliance(config) as parts:
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        paths = {
            route.resource.canonical for route in application.router.routes() if route.resource
        }
    assert not [path for path in paths if path.startswith("/v1/") or "nanomdm" in path]
