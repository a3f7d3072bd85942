"""The live stream's door and its limits: who may listen, how often, how slowly."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import open_appliance
from appliance.config import Config, LimitsConfig
from appliance.services.live import Filter
from appliance.web import site
from appliance.web.api import events
from tests.device.events import listen

from .api_client import ApiClient

EVENTS = "/api/v1/events"


@pytest.mark.parametrize(
    ("token", "headers", "path", "status"),
    [
        (None, {}, EVENTS, 401),
        ("apl_0_wrong", {}, EVENTS, 401),
        ("valid", {"Last-Event-ID": "-1"}, EVENTS, 422),
        ("valid", {"Last-Event-ID": "9" * 40}, EVENTS, 422),
        ("valid", {}, f"{EVENTS}?last_event_id=x", 422),
        ("valid", {}, f"{EVENTS}?colour=red", 422),
        ("valid", {}, f"{EVENTS}?device=nobody", 404),
    ],
)
async def test_who_is_refused(
    api: ApiClient, token: str | None, headers: dict[str, str], path: str, status: int
) -> None:
    token = api.token if token == "valid" else token
    answer = await api.call("GET", path, token=token, headers=headers)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_the_heads_of_a_stream_end_at_once(api: ApiClient) -> None:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with asyncio.timeout(5), api.client.head(EVENTS, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert await answer.read() == b""


async def test_another_sites_script_may_not_listen(api: ApiClient) -> None:
    headers = {"Origin": "https://evil.example"}
    assert (await api.call("GET", EVENTS, headers=headers)).status == 403


async def test_a_stream_hears_only_what_it_asks_for(api: ApiClient) -> None:
    one, two = api.enroll("one"), api.enroll("two")
    url = f"{api.client.make_url(EVENTS)}?types=command,token&device={one}"
    token = await api.new_token("read")
    async with listen(api.client.session, url, token) as stream:
        for target in (two, one):
            body = {"targets": [target], "request_type": "ProfileList", "push": False}
            (await api.call("POST", "/api/v1/commands", body)).json["commands"]
        await api.call("POST", f"/api/v1/devices/{one}/block")
        (queued,) = (await api.call("GET", f"/api/v1/devices/{one}/commands")).json["items"]
        await api.call("DELETE", f"/api/v1/commands/{queued['id']}")
        heard = await stream.take(2)
    assert [(e.data["id"], e.data["stage"], e.data["status"]) for e in heard] == [
        (queued["id"], "queued", "queued"), (queued["id"], "finished", "cancelled"),
    ]  # fmt: skip


async def test_a_device_that_leaves_finishes_its_commands_for_whoever_listens(
    api: ApiClient,
) -> None:
    name = api.enroll("one")
    body = {"targets": [name], "request_type": "ProfileList", "push": False}
    await api.call("POST", "/api/v1/commands", body)
    async with listen(api.client.session, str(api.client.make_url(EVENTS)), api.token) as stream:
        await api.call("POST", f"/api/v1/devices/{name}/forget")
        heard = await stream.take(2)
    assert [(e.event, e.data.get("stage") or e.data["kind"]) for e in heard] == [
        ("command", "finished"), ("device", "device.forgotten"),
    ]  # fmt: skip


async def test_a_devices_own_events_are_not_drowned_by_its_commands(api: ApiClient) -> None:
    name = api.enroll("one")
    body = {"targets": [name], "request_type": "ProfileList", "push": False}
    await api.call("POST", "/api/v1/commands", body)
    await api.call("POST", f"/api/v1/devices/{name}/block")
    items = (await api.call("GET", f"/api/v1/devices/{name}/events")).json["items"]
    assert [item["kind"] for item in items] == ["device.blocked"]


async def test_a_quiet_stream_is_kept_open_by_pings(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PING_SECONDS", 0.05)
    monkeypatch.setattr(events, "_LOOK_SECONDS", 0.02)
    async with listen(api.client.session, str(api.client.make_url(EVENTS)), api.token) as stream:
        with pytest.raises(TimeoutError):
            await stream.next(seconds=0.5)
        assert stream.comments[:2] == ["ping", "ping"]
        assert stream.retry == 2_000


async def test_a_stream_ends_when_its_token_is_revoked(api: ApiClient) -> None:
    token = await api.new_token("read")
    url = f"{api.client.make_url(EVENTS)}?types=command"
    async with listen(api.client.session, url, token) as stream:
        with pytest.raises(TimeoutError):
            await stream.next(seconds=1.5)
        await api.call("DELETE", "/api/v1/tokens/read")
        assert await stream.next(seconds=1) is None


async def test_a_stream_ends_when_its_token_expires(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_ADMITTED_SECONDS", 0.05)
    monkeypatch.setattr(events, "_LOOK_SECONDS", 0.02)
    token = await api.new_token("read")
    async with listen(api.client.session, str(api.client.make_url(EVENTS)), token) as stream:
        with api.database() as db, db:
            db.execute("UPDATE api_tokens SET expires_at = 1 WHERE name = 'read'")
        assert await stream.next(seconds=1) is None


async def test_a_caller_has_so_many_streams_and_gets_them_back(config: Config) -> None:
    limits = LimitsConfig(event_streams=2)
    async with open_appliance(replace(config, limits=limits)) as parts:
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=False
        )
        _, token = await parts.services.tokens.create("one", ["read"])
        _, other = await parts.services.tokens.create("two", ["read"])
        async with TestClient(TestServer(application)) as client:
            url = str(client.make_url(EVENTS))
            async with AsyncExitStack() as stack:
                for _ in range(2):
                    await stack.enter_async_context(listen(client.session, url, token))
                refused = await _status(client, token)
                assert refused == 429
                await stack.enter_async_context(listen(client.session, url, other))
            async with asyncio.timeout(60):
                while await _status(client, token) == 429:
                    await asyncio.sleep(0.05)


async def _status(
    client: TestClient[aiohttp.web.Request, aiohttp.web.Application], token: str
) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.get(EVENTS, headers=headers) as response:
        return response.status


async def test_a_slow_client_is_dropped_and_misses_nothing(api: ApiClient) -> None:
    """One that does not read costs a bounded queue; its next visit replays what it missed."""
    live = api.parts.services.live
    names = [api.enroll(f"device-{number}") for number in range(300)]
    body = {"targets": names, "request_type": "ProfileList", "push": False}
    async with live.subscribe("slow", Filter(), after=None) as slow:
        url = str(api.client.make_url(EVENTS))
        async with listen(api.client.session, url, api.token) as quick:
            heard = []
            for _ in range(4):
                await api.call("POST", "/api/v1/commands", body)
                heard += await quick.take(300)
            assert len(heard) == 1_200
        assert await slow.take(1) is None, "dropped"
    last = int(heard[-1].last_event_id)
    async with live.subscribe("slow", Filter(), after=last - 900) as slow:
        missed = await slow.take(1)
        assert missed is not None
        assert [message.id for message in missed] == list(range(last - 899, last + 1))
