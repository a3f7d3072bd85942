"""Webhooks: what a device says arrives in NanoMDM's form, in order, once, and also later."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.receiver import Receiver, answer, receiver
from tests.device.server import Api, RunningServer

__all__ = ["receiver"]

_SECRET = "a secret between the two of us"
_KEYS = {"topic", "event_id", "created_at"}


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[RunningServer]:
    """A server that tells it."""
    (tmp_path / "secret").write_text(_SECRET + "\n")
    environment = {
        "APPLIANCE_WEBHOOK__URLS": receiver.url,
        "APPLIANCE_WEBHOOK__SECRET_FILE": str(tmp_path / "secret"),
        "APPLIANCE_WEBHOOK__RETRIES": "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s",
    }
    running = start_server(tmp_path / "data", environment=environment)
    yield running
    assert running.stop() == 0


def webhook(server: RunningServer, *arguments: str) -> Any:
    """Run `appliance webhook …`."""
    return json.loads(server.cli("webhook", *arguments, "--json").stdout)


def until_all_is_sent(server: RunningServer) -> dict[str, Any]:
    """How the receiver does when nothing waits any more."""
    return until(server, "waiting", 0)


def until(server: RunningServer, key: str, value: Any) -> dict[str, Any]:
    """How the receiver does when it does so."""
    deadline = time.monotonic() + 30
    while (shown := webhook(server, "list")["items"][0])[key] != value:
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
    found: dict[str, Any] = shown
    return found


async def life_of_a_device(api: Api) -> Device:
    """Enroll, take commands, escrow, ask, leave."""
    device = await api.enroll()
    user = device.user()
    await user.token_update()
    await device.token_update(UnlockToken=b"unlock token")
    await device.set_bootstrap_token(b"bootstrap token")
    assert await device.get_bootstrap_token() == b"bootstrap token"
    for status in ("not_now", "acknowledge", "error"):
        await api.queue(device.id)
        command = (await device.idle()).command
        assert command is not None
        await getattr(device, status)(command)
        if status == "not_now":
            await device.acknowledge(command, ProfileList=[])
    await device.check_in("DeclarativeManagement", Endpoint="tokens")
    assert (await device.check_out()).status == 200
    return device


def test_what_a_device_says_arrives_in_nanomdms_form(
    server: RunningServer, receiver: Receiver
) -> None:
    async def live() -> Device:
        async with server.session() as session:
            return await life_of_a_device(Api(server, session))

    device = asyncio.run(live())
    assert until_all_is_sent(server)["state"] == "ok"
    said = [(one.json["topic"], one.about.get("status", "")) for one in receiver.received]
    assert said == [
        ("mdm.Authenticate", ""), ("mdm.TokenUpdate", ""), ("mdm.TokenUpdate", ""),
        ("mdm.TokenUpdate", ""), ("mdm.SetBootstrapToken", ""), ("mdm.GetBootstrapToken", ""),
        ("mdm.Connect", "Idle"), ("mdm.Connect", "NotNow"), ("mdm.Connect", "Acknowledged"),
        ("mdm.Connect", "Idle"), ("mdm.Connect", "Acknowledged"),
        ("mdm.Connect", "Idle"), ("mdm.Connect", "Error"),
        ("mdm.DeclarativeManagement", ""), ("mdm.CheckOut", ""),
    ]  # fmt: skip
    first, second, user, third = receiver.received[:4]
    assert set(first.json) == _KEYS | {"checkin_event"}
    assert first.about.keys() == {"udid", "ids", "url_params", "raw_payload"}
    assert first.message["SerialNumber"] == device.serial_number
    assert datetime.now(UTC) - datetime.fromisoformat(first.json["created_at"]) < timedelta(
        minutes=5
    )
    tallies = [one.about["token_update_tally"] for one in (second, user, third)]
    assert tallies == [1, 1, 2]
    assert user.about["udid"] == user.about["ids"]["parent_id"] == device.id
    assert user.about["ids"]["type"] == "User"
    assert len({one.json["event_id"] for one in receiver.received}) == len(receiver.received)
    everything = b"".join(b"".join(one.payload.split()) for one in receiver.received)
    for secret in (device.token, b"unlock token", b"bootstrap token"):
        assert base64.b64encode(secret) not in everything
    assert device.push_magic.encode() not in everything
    for one in receiver.received:
        assert one.path == "/hook"
        assert one.headers["X-Hmac-Signature"] == _signature(one.body)
        assert one.headers["webhook-id"] == one.json["event_id"]


def _signature(body: bytes) -> str:
    return base64.b64encode(hmac.digest(_SECRET.encode(), body, "sha256")).decode()


def test_what_is_refused_is_not_told(server: RunningServer, receiver: Receiver) -> None:
    async def lie() -> None:
        async with server.session() as session:
            api = Api(server, session)
            device, other = await api.enroll(), await api.enroll()
            other.identification = device.identification
            assert (await other.idle()).status == 400
            assert (await other.token_update()).status == 400
            assert (await other.authenticate()).status == 400
            assert (await device.idle()).status == 200

    asyncio.run(lie())
    until_all_is_sent(server)
    assert sorted(receiver.topics) == [
        "mdm.Authenticate", "mdm.Authenticate", "mdm.Connect", "mdm.TokenUpdate", "mdm.TokenUpdate",
    ]  # fmt: skip


async def test_what_is_understood_and_refused_is_told_once(
    server: RunningServer, receiver: Receiver
) -> None:
    async with server.session() as session:
        device = await Api(server, session).enroll()
    for message, status in (("UserAuthenticate", 410), ("GetToken", 400)):
        # As a device does, over a connection of its own: it is answered by the front.
        async with server.session() as device.session:
            sender = device.user() if message == "UserAuthenticate" else device
            assert (await sender.check_in(message, TokenServiceType="x")).status == status
        await asyncio.to_thread(until_all_is_sent, server)
    assert receiver.topics[-2:] == ["mdm.UserAuthenticate", "mdm.GetToken"]
    assert len(set(receiver.topics)) == len(receiver.topics)


def test_events_survive_kill_9_and_a_receiver_that_is_away(
    server: RunningServer, receiver: Receiver
) -> None:
    receiver.behave = answer(503)

    async def come() -> str:
        async with server.session() as session:
            device = await Api(server, session).enroll()
            await device.idle()
            return device.id

    device_id = asyncio.run(come())
    attempts = len(receiver.wait_for(1))
    server.kill()
    receiver.behave = answer(200)
    server.start()
    assert until_all_is_sent(server)["delivered"] == 3
    assert receiver.topics[-3:] == ["mdm.Authenticate", "mdm.TokenUpdate", "mdm.Connect"]
    assert {one.about["udid"] for one in receiver.received} == {device_id}
    names = [one.json["event_id"] for one in receiver.received]
    assert set(names[:attempts]) == {names[-3]}, "tried again under the same name"


def test_the_command_line_tests_shows_the_log_and_replays(
    server: RunningServer, receiver: Receiver
) -> None:
    assert webhook(server, "test")["answer"] == 200
    assert receiver.received[0].json["topic"] == "appliance.Test"
    receiver.behave = answer(410)
    failed = server.cli("webhook", "test", check=False)
    assert (failed.returncode, failed.stderr) == (1, "error[webhook.failed]: it answered 410\n")

    async def come() -> None:
        async with server.session() as session:
            await Api(server, session).enroll()

    asyncio.run(come())
    receiver.wait_for(3)
    shown = until(server, "state", "disabled")
    assert shown["problem"] == "it answered 410"
    assert "is disabled (it answered 410)" in server.cli("status").stderr
    receiver.behave = answer(200)
    assert webhook(server, "replay")["replayed"] == 0, "nothing failed for good"
    assert until_all_is_sent(server)["state"] == "ok"
    log = webhook(server, "log", "--status", "delivered")["items"]
    missed = shown["dropped"]  # what came when it was disabled
    assert [one["topic"] for one in reversed(log)] == (
        ["mdm.Authenticate", "mdm.TokenUpdate"][: 2 - missed]
    )
    again = webhook(server, "replay", "--delivery", str(log[-1]["id"]))
    assert again["replayed"] == 1
    until_all_is_sent(server)
    assert receiver.received[-1].json["event_id"] == log[-1]["event_id"]
    assert "mdm.Authenticate" in server.cli("webhook", "log").stdout
    metrics = asyncio.run(_metrics(server))
    labels = f'result="delivered",webhook="{shown["id"]}"'
    count = f"appliance_webhook_deliveries_total{{{labels}}} {len(log) + 1}.0"
    assert count in metrics


async def _metrics(server: RunningServer) -> str:
    async with server.session() as session:
        return (await Api(server, session).get("/metrics")).text
