"""Declarative management, once switched on at a device, is answered: there are no declarations."""

from __future__ import annotations

import json

from tests.device.device import Device
from tests.device.server import Api


async def test_a_device_learns_that_there_are_no_declarations(api: Api, device: Device) -> None:
    tokens = await device.check_in("DeclarativeManagement", Endpoint="tokens")
    assert (tokens.status, tokens.content_type) == (200, "application/json")
    items = await device.check_in("DeclarativeManagement", Endpoint="declaration-items")
    assert (items.status, items.content_type) == (200, "application/json")
    listed = json.loads(items.body)
    assert listed["Declarations"] == {
        "Activations": [], "Assets": [], "Configurations": [], "Management": [],
    }  # fmt: skip
    told = json.loads(tokens.body)["SyncTokens"]
    assert told["DeclarationsToken"] == listed["DeclarationsToken"]

    again = await device.check_in("DeclarativeManagement", Endpoint="tokens")
    assert again.body == tokens.body, "or the device would ask for all of them again"


async def test_a_status_report_is_taken_and_an_unknown_declaration_is_none(
    api: Api, device: Device
) -> None:
    report = json.dumps({"StatusItems": {}}).encode()
    reply = await device.check_in("DeclarativeManagement", Endpoint="status", Data=report)
    assert (reply.status, reply.body) == (200, b"")
    for endpoint in ("declaration/configuration/wifi", "declaration/asset/a/b", "other", ""):
        reply = await device.check_in("DeclarativeManagement", Endpoint=endpoint)
        assert reply.status in (400, 404), "404 makes it drop the declaration, and no more"


async def test_a_user_channel_has_an_empty_set_of_its_own(api: Api, device: Device) -> None:
    user = device.user()
    await user.token_update()
    reply = await user.check_in("DeclarativeManagement", Endpoint="declaration-items")
    assert reply.status == 200
    stranger = await api.enroll()
    stranger.identification = dict(device.identification)
    reply = await stranger.check_in("DeclarativeManagement", Endpoint="tokens")
    assert reply.status == 400
