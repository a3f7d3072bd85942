"""Declarative management on simulated devices: what they fetch, keep and report."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from appliance.simulator.device import Device
from tests.simulator.fake_mdm import FakeMdm, fake_mdm
from tests.simulator.fleets import Watched, running_fleet

ACTIVATION = "com.apple.activation.simple"
STATUS = "com.apple.configuration.management.status-subscriptions"


@pytest_asyncio.fixture
async def mdm(tmp_path: Path) -> AsyncIterator[FakeMdm]:
    async with fake_mdm(tmp_path) as fake:
        yield fake


def json_response(document: Any) -> web.Response:
    return web.json_response(document)


def tokens(token: str) -> dict[str, Any]:
    return {"SyncTokens": {"DeclarationsToken": token, "Timestamp": "2026-01-31T12:00:00Z"}}


def manifest(token: str, **lists: list[tuple[str, str]]) -> dict[str, Any]:
    found = {
        name: [
            {"Identifier": identifier, "ServerToken": server_token}
            for identifier, server_token in lists.get(name, [])
        ]
        for name in ("Activations", "Assets", "Configurations", "Management")
    }
    return {"Declarations": found, "DeclarationsToken": token}


def declaration(identifier: str, token: str, kind: str = STATUS, **content: Any) -> dict[str, Any]:
    return {"Type": kind, "Identifier": identifier, "ServerToken": token, "Payload": content}


async def synchronized(
    mdm: FakeMdm, watched: Watched, device: Device, *answers: Any, **keys: Any
) -> list[str]:
    """Send the command; the endpoints that the device asks, answered one after the other."""
    seen, done = len(mdm.of("DeclarativeManagement")), len(watched.of("answered"))
    mdm.script("DeclarativeManagement", *(json_response(one) for one in answers))
    mdm.command("DeclarativeManagement", **keys)
    watched.fleet.wake(device)
    await watched.until(lambda: len(watched.of("answered")) > done)
    await watched.fleet.settled(0)
    return [str(one["Endpoint"]) for one in mdm.of("DeclarativeManagement")[seen:]]


async def enrolled(mdm: FakeMdm, watched: Watched) -> Device:
    await watched.fleet.enroll(mdm.source())
    return watched.fleet.devices[0]


async def test_it_fetches_what_is_new_and_reports_what_is_in_force(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        asked = await synchronized(
            mdm, watched, device,
            tokens("one"),
            manifest("one", Activations=[("a", "1")], Configurations=[("c", "1"), ("d/e", "1")]),
            declaration("a", "1", ACTIVATION, StandardConfigurations=["c"]),
            declaration("c", "1"),
            declaration("d/e", "1"),
            {},
        )  # fmt: skip
        assert asked == [
            "tokens", "declaration-items", "declaration/activation/a",
            "declaration/configuration/c", "declaration/configuration/d/e", "status",
        ]  # fmt: skip
        report = json.loads(mdm.of("DeclarativeManagement")[-1]["Data"])
        states = report["StatusItems"]["management"]["declarations"]
        found = {one["identifier"]: one["valid"] for one in states["configurations"]}
        assert found == {"c": "valid", "d/e": "unknown"}
        (reason,) = states["configurations"][1]["reasons"]
        assert reason["code"] == "Info.NotReferencedByActivation"


async def test_only_what_changed_is_fetched_again(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        await synchronized(
            mdm, watched, device,
            tokens("one"), manifest("one", Configurations=[("c", "1"), ("d", "1")]),
            declaration("c", "1"), declaration("d", "1"), {},
        )  # fmt: skip
        assert await synchronized(mdm, watched, device, tokens("one")) == ["tokens"]
        asked = await synchronized(
            mdm, watched, device,
            manifest("two", Configurations=[("d", "2")]), declaration("d", "2"), {},
            Data=json.dumps(tokens("two")).encode(),
        )  # fmt: skip
        assert asked == ["declaration-items", "declaration/configuration/d", "status"]
        report = json.loads(mdm.of("DeclarativeManagement")[-1]["Data"])
        (held,) = report["StatusItems"]["management"]["declarations"]["configurations"]
        assert (held["identifier"], held["server-token"]) == ("d", "2")


async def test_a_server_without_declarations_is_left_alone(mdm: FakeMdm) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        mdm.script("DeclarativeManagement", web.Response(status=404))
        assert await synchronized(mdm, watched, device) == ["tokens"]
        assert not watched.of("trouble")


@pytest.mark.parametrize("nonsense", [[], {"SyncTokens": 5}, "text", {"SyncTokens": {}}])
async def test_nonsense_is_trouble_and_the_device_goes_on(mdm: FakeMdm, nonsense: Any) -> None:
    async with running_fleet() as watched:
        device = await enrolled(mdm, watched)
        await synchronized(mdm, watched, device, nonsense)
        assert "DeclarativeManagement, tokens" in watched.of("trouble")[0]["reason"]
        mdm.command("ProfileList")
        watched.fleet.wake(device)
        await watched.until(lambda: len(watched.of("answered")) == 2)
