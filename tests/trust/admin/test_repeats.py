"""Sent twice, done once: Idempotency-Key of programs, and forms that are pressed twice."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.app import open_appliance
from appliance.config import Config
from appliance.services.command_orders import CommandOrder
from appliance.services.repeats import Request
from tests.web.api_client import Answer, ApiClient, enroll
from tests.web.board.conftest import Office, office
from tests.web.board.html_form import HtmlForm

__all__ = ["office"]

COMMANDS = "/api/v1/commands"
LINKS = "/api/v1/enrollment-links"
ORDER = {"targets": ["one"], "request_type": "ProfileList"}
LOCK = {
    "targets": ["one"], "request_type": "DeviceLock", "parameters": {"PIN": "918273"},
    "confirm": {"serial_number": "SERIAL-one"},
}  # fmt: skip


async def post(api: ApiClient, path: str, body: Any, key: str, **options: Any) -> Answer:
    """Send a request that may be repeated."""
    return await api.call("POST", path, body, headers={"Idempotency-Key": key}, **options)


def count(api: ApiClient, table: str) -> int:
    """How many rows there are."""
    with api.database() as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_d_24_a_repeated_request_makes_one_command(api: ApiClient) -> None:
    api.enroll("one")
    first, *others = await asyncio.gather(*(post(api, COMMANDS, ORDER, "k") for _ in range(20)))
    assert first.status == 202
    assert {answer.text for answer in others} == {first.text}
    assert (await post(api, COMMANDS, ORDER, "k")).text == first.text
    assert count(api, "commands") == 1
    assert (await post(api, COMMANDS, ORDER, "k2")).text != first.text
    assert count(api, "commands") == 2


async def test_d_24_a_repeated_request_makes_one_link(api: ApiClient) -> None:
    body = {"uses": 3, "label": "front desk"}
    first, second = await asyncio.gather(*(post(api, LINKS, body, "k") for _ in range(2)))
    assert (first.status, first.text) == (201, second.text)
    assert count(api, "enrollment_links") == 1


async def test_d_24_a_key_stands_for_one_request(api: ApiClient) -> None:
    api.enroll("one")
    await post(api, COMMANDS, ORDER, "k")
    for path, body in ((COMMANDS, {**ORDER, "push": False}), (LINKS, {})):
        other = await post(api, path, body, "k")
        assert (other.status, other.json["code"]) == (422, "request.idempotency_key")
        assert other.json["why"] and other.json["hint"]
    assert (count(api, "commands"), count(api, "enrollment_links")) == (1, 0)
    colleague = await api.new_token("write")
    assert (await post(api, COMMANDS, ORDER, "k", token=colleague)).status == 202
    assert count(api, "commands") == 2, "a key is its caller's own"


@pytest.mark.parametrize("key", ["", "x" * 256, "Schl\xfcssel", "tab\there"])
async def test_d_24_a_key_that_cannot_be_one_is_refused(api: ApiClient, key: str) -> None:
    api.enroll("one")
    assert (await post(api, COMMANDS, ORDER, key)).status == 422
    assert count(api, "commands") == 0


async def test_d_24_what_was_refused_can_be_tried_again(api: ApiClient) -> None:
    assert (await post(api, COMMANDS, ORDER, "k")).status == 404
    api.enroll("one")
    assert (await post(api, COMMANDS, ORDER, "k")).status == 202


async def test_d_24_a_replay_needs_the_scope_that_the_request_needs(api: ApiClient) -> None:
    api.enroll("one")
    await post(api, COMMANDS, ORDER, "k")
    reader = await api.new_token("read")
    assert (await post(api, COMMANDS, ORDER, "k", token=reader)).status == 403


async def test_d_24_nothing_of_a_secret_request_is_kept(api: ApiClient) -> None:
    api.enroll("one")
    assert (await post(api, COMMANDS, LOCK, "k")).status == 202
    wrong = {**LOCK, "parameters": {"PIN": "918274"}}
    assert (await post(api, COMMANDS, wrong, "k")).status == 422, "the PIN is a part of it"
    with api.database() as db:
        assert "918273" not in "\n".join(db.iterdump())


async def test_d_24_answers_are_forgotten_after_a_day(api: ApiClient) -> None:
    api.enroll("one")
    await post(api, COMMANDS, ORDER, "k")
    with api.database() as db, db:
        db.execute("UPDATE idempotency_keys SET stored_at = stored_at - 86400000")
    assert (await post(api, COMMANDS, {**ORDER, "push": False}, "k")).status == 202
    assert (count(api, "commands"), count(api, "idempotency_keys")) == (2, 1)
    with api.database() as db, db:
        db.execute("UPDATE idempotency_keys SET stored_at = stored_at - 86400000")
    await api.parts.services.housekeeping.close_expired()
    assert count(api, "idempotency_keys") == 0


async def test_d_24_a_restart_forgets_no_answer(config: Config) -> None:
    def order() -> CommandOrder:
        request = Request(caller="Aki", key="k", content=b"body")
        return CommandOrder(targets=["one"], request_type="ProfileList", request=request)

    async with open_appliance(config) as parts:
        with closing(sqlite3.connect(parts.directory.database)) as db, db:
            enroll(db, "one", "Mac")
        first = await parts.services.commands.enqueue(order())
    async with open_appliance(config) as parts:
        assert await parts.services.commands.enqueue(order()) == first


async def test_d_24_a_form_that_is_pressed_twice_makes_one_command(office: Office) -> None:
    async def filled(**fields: str) -> dict[str, str]:
        form = HtmlForm(await office.open("/devices/one/send/DeviceLock"), "send")
        return {"once": form.controls["once"].values[0], "confirm": "SERIAL-one", **fields}

    form = await filled(reason="lost", **{"/PIN": "918273"})
    pressed = await asyncio.gather(*(office.send("one", "DeviceLock", **form) for _ in range(3)))
    assert {answer.status for answer in pressed} == {303}
    assert len({answer.location for answer in pressed}) == 1
    assert len(office.commands()) == 1
    changed = await office.send("one", "DeviceLock", **{**form, "/PIN": "111111"})
    assert changed.location != pressed[0].location, "gone back and changed, it is another one"
    anew = await office.send(
        "one", "DeviceLock", **await filled(reason="lost", **{"/PIN": "918273"})
    )
    assert anew.location != pressed[0].location
    assert len(office.commands()) == 3


async def test_d_24_a_form_that_is_pressed_twice_makes_one_link(office: Office) -> None:
    fields = {"once": "of this copy of the form", "uses": "2", "expires_in": "1d"}
    for _ in range(2):
        assert (await office.browser.submit("/enrollment", fields)).status == 303
    assert count(office.api, "enrollment_links") == 1
    assert (await office.browser.submit("/enrollment", {**fields, "uses": "3"})).status == 303
    assert count(office.api, "enrollment_links") == 2


async def test_d_24_a_repeat_is_answered_when_the_command_has_expired(api: ApiClient) -> None:
    api.enroll("one")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    order = {**ORDER, "expires_at": soon.isoformat()}
    first = await post(api, COMMANDS, order, "k")
    assert first.status == 202
    await asyncio.sleep(1.1)
    assert (await post(api, COMMANDS, order, "k")).text == first.text
    assert (await post(api, COMMANDS, order, "k2")).status == 422, "a new order is too late"
