"""Secrets are shown to whoever may see them and says why, on the record, ten in an hour."""

from __future__ import annotations

import asyncio
import base64
import json
import plistlib
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from appliance.app import open_appliance
from appliance.config import Config
from appliance.errors import TooMany
from appliance.services.command_orders import CommandOrder
from tests.web.api_client import Answer, ApiClient, enroll

SECRET = "c2VjcmV0"
COMMANDS = "/api/v1/commands"
WHY = {"reason": "the user forgot it"}


async def answered(api: ApiClient, *targets: str) -> str:
    """A command of one UUID, whose answers hold a secret each."""
    command = {"CommandUUID": "-".join(targets), "Command": {"RequestType": "ProfileList"}}
    order = {"targets": targets, "plist": base64.b64encode(plistlib.dumps(command)).decode()}
    for queued in (await api.call("POST", COMMANDS, order)).json["commands"]:
        answer = {"Status": "Acknowledged", "CommandUUID": queued["id"], "UnlockToken": b"secret"}
        api.answer_command(queued["target"], queued["id"], plistlib.dumps(answer))
    return command["CommandUUID"]  # type: ignore[return-value]


async def reveal(api: ApiClient, uuid: str, body: Any = WHY, **options: Any) -> Answer:
    """Ask for the secrets."""
    return await api.call("POST", f"{COMMANDS}/{uuid}/secrets", body, **options)


def record(api: ApiClient) -> list[tuple[str, str, str]]:
    """Whose secrets were shown, to whom, and why."""
    with api.database() as db:
        rows = db.execute(
            "SELECT enrollment_id, data FROM events WHERE kind = 'secret.shown' ORDER BY id"
        ).fetchall()
    shown = [(target, json.loads(data)) for target, data in rows]
    return [(target, data["by"], data["reason"]) for target, data in shown]


async def test_d_22_secrets_need_the_scope_and_a_reason(api: ApiClient) -> None:
    uuid = await answered(api, api.enroll("one"))
    everything_else = await api.new_token("read", "write", "danger", "admin")
    assert (await reveal(api, uuid, token=everything_else)).status == 403
    for body in ({}, {"reason": ""}, {"reason": " \n"}, {"reason": "x" * 501}):
        answer = await reveal(api, uuid, body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/reason"), body
        assert SECRET not in answer.text
    assert record(api) == []
    shown = await reveal(api, uuid)
    assert shown.json["result"]["UnlockToken"] == SECRET
    assert shown.headers["Cache-Control"] == "no-store"
    assert record(api) == [("one", "tests", "the user forgot it")]


async def test_d_22_nothing_but_that_shows_a_secret(api: ApiClient) -> None:
    uuid = await answered(api, api.enroll("one"))
    for path in (f"{COMMANDS}/{uuid}", "/api/v1/devices/one/commands", "/api/v1/devices/one"):
        assert SECRET not in (await api.call("GET", path)).text
    assert record(api) == []


async def test_d_22_a_pin_that_waits_is_shown_with_what_was_sent(api: ApiClient) -> None:
    lock = {
        "targets": [api.enroll("one")], "request_type": "DeviceLock",
        "parameters": {"PIN": "918273"}, "confirm": {"serial_number": "SERIAL-one"},
    }  # fmt: skip
    (queued,) = (await api.call("POST", COMMANDS, lock)).json["commands"]
    shown = await reveal(api, queued["id"])
    assert shown.json["parameters"] == {"PIN": "918273"}
    await api.call("DELETE", f"{COMMANDS}/{queued['id']}")
    gone = await reveal(api, queued["id"])
    assert (gone.status, gone.json["code"]) == (409, "secret.none")
    assert len(record(api)) == 1, "what showed nothing is not counted"


async def test_d_22_secrets_are_shown_of_one_device_at_a_time(api: ApiClient) -> None:
    uuid = await answered(api, api.enroll("one"), api.enroll("two"))
    assert (await reveal(api, uuid)).json["errors"][0]["pointer"] == "/target"
    assert (await reveal(api, uuid, {**WHY, "target": "three"})).status == 404
    shown = await reveal(api, uuid, {**WHY, "target": "SERIAL-two"})
    assert shown.json["target"] == "two"
    assert [target for target, *_ in record(api)] == ["two"]


async def test_d_22_the_eleventh_within_an_hour_is_refused(api: ApiClient) -> None:
    uuid = await answered(api, api.enroll("one"))
    answers = await asyncio.gather(*(reveal(api, uuid) for _ in range(14)))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 4
    refused = await reveal(api, uuid)
    assert SECRET not in refused.text
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.json["code"] == "request.too_many"
    assert refused.json["why"]
    assert refused.json["hint"]
    assert len(record(api)) == 10
    colleague = await api.new_token("read", "secrets")
    assert (await reveal(api, uuid, token=colleague)).status == 200
    with api.database() as db, db:
        db.execute("UPDATE events SET at = at - 3600000 WHERE kind = 'secret.shown'")
    assert (await reveal(api, uuid)).status == 200, "an hour later it is possible again"


async def test_d_22_a_restart_does_not_begin_to_count_anew(config: Config) -> None:
    order = CommandOrder(
        targets=["one"], request_type="DeviceLock", parameters={"PIN": "918273"},
        may_danger=True, confirm={"serial_number": "SERIAL-one"},
    )  # fmt: skip
    async with open_appliance(config) as parts:
        with closing(sqlite3.connect(parts.directory.database)) as db, db:
            enroll(db, "one", "Mac")
        (queued,) = await parts.services.commands.enqueue(order)
        for _ in range(10):
            await parts.services.secrets.reveal(queued.id, target=None, reason="why", by="Aki")
    async with open_appliance(config) as parts:
        with pytest.raises(TooMany):
            await parts.services.secrets.reveal(queued.id, target=None, reason="why", by="Aki")
