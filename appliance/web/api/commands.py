"""`/api/v1/commands`: queue, look up and cancel commands; the request types there are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from appliance.errors import MalformedMessage
from appliance.mdm.catalogue import CommandSpec, catalogue
from appliance.mdm.command import SECRET_KEYS
from appliance.services.command_orders import CommandOrder
from appliance.services.device_page import SentCommand
from appliance.store.command_records import CommandRecord
from appliance.web.api.operation import (
    Operation,
    answer,
    body_of,
    caller_of,
    query_of,
    repeatable_body_of,
    services_of,
)
from appliance.web.api.schema import (
    CommandAnswer,
    CommandBody,
    CommandQuery,
    CommandsAnswer,
    Page,
    ReleaseBody,
    RequestType,
    RestoredCommandAnswer,
    SecretsAnswer,
    SecretsBody,
)
from appliance.web.authentication import GATE
from appliance.wire import plist

_WITHHELD = "withheld: POST /api/v1/commands/{uuid}/secrets shows it"

_DECODED_IN_A_THREAD = 64 << 10  # bytes of answers


async def enqueue(request: web.Request) -> web.Response:
    """Queue a command for each target, or for none."""
    body, repeat = await repeatable_body_of(request, CommandBody)
    order = CommandOrder(
        targets=body.targets, request_type=body.request_type, parameters=body.parameters,
        plist=body.plist, push=body.push, expires_at=body.expires_at,
        may_danger="danger" in caller_of(request).scopes,
        most_dangerous=request.app[GATE].danger_quota(request),
        confirm=None if body.confirm is None else msgspec.to_builtins(body.confirm),
        undo_seconds=body.undo_seconds, reason=body.reason, by=caller_of(request).name,
        request=repeat,
    )  # fmt: skip
    return answer({"commands": await services_of(request).commands.enqueue(order)}, status=202)


async def show(request: web.Request) -> web.Response:
    """One command, at once or when it is finished."""
    seconds = query_of(request, CommandQuery).wait
    commands, uuid = services_of(request).commands, request.match_info["uuid"]
    records = await (commands.wait(uuid, seconds) if seconds else commands.get(uuid))
    return answer(await _answer_of(records))


async def cancel(request: web.Request) -> web.Response:
    """Cancel a command that no device has received."""
    records = await services_of(request).commands.cancel(request.match_info["uuid"])
    return answer(await _answer_of(records))


async def release(request: web.Request) -> web.Response:
    """Let go of a command that a restore has held."""
    body, caller = await body_of(request, ReleaseBody), caller_of(request)
    records = await services_of(request).commands.release(
        request.match_info["uuid"], None if body.confirm is None else body.confirm.serial_number,
        may_danger="danger" in caller.scopes, by=caller.name,
    )  # fmt: skip
    return answer(await _answer_of(records))


async def restored(request: web.Request) -> web.Response:
    """What was unfinished in the backup that this server was restored from, and still is."""
    return answer(Page(items=await services_of(request).commands.restored()))


async def secrets(request: web.Request) -> web.Response:
    """One command with its secrets, on the record."""
    body, by = await body_of(request, SecretsBody), caller_of(request).name
    shown = await services_of(request).secrets.reveal(
        request.match_info["uuid"], target=body.target, reason=body.reason, by=by
    )
    return answer(await asyncio.to_thread(_secrets_answer, shown), secret=True)


async def types(request: web.Request) -> web.Response:
    """The request types."""
    return answer(Page(items=[_request_type(spec) for spec in catalogue().values()]))


async def command_answers(records: Sequence[CommandRecord]) -> list[CommandAnswer]:
    """Return what the API shows of commands, without what unlocks a device."""

    def decode() -> list[CommandAnswer]:
        return [CommandAnswer(**_fields(record)) for record in records]

    if sum(len(record.answer or b"") for record in records) <= _DECODED_IN_A_THREAD:
        return decode()
    return await asyncio.to_thread(decode)


def _secrets_answer(shown: SentCommand) -> SecretsAnswer:
    return SecretsAnswer(
        **_fields(shown.record, reveal=True), parameters=_parameters(shown.payload.body)
    )


def _fields(record: CommandRecord, *, reveal: bool = False) -> dict[str, Any]:
    names = (name for name in CommandAnswer.__struct_fields__ if name not in ("result", "channels"))
    shown = {name: getattr(record, name) for name in names}
    return {**shown, "result": _result(record.answer, reveal=reveal)}


async def _answer_of(records: list[CommandRecord]) -> CommandAnswer:
    answers = await command_answers(records)
    if len(answers) == 1:
        return answers[0]
    return msgspec.structs.replace(answers[0], channels=answers)


def _result(body: bytes | None, *, reveal: bool) -> dict[str, Any] | None:
    if body is None:
        return None
    try:
        value = plist.to_json(plist.loads_from_device(body))
    except MalformedMessage:  # it was read when it was stored, under an earlier release
        return None
    assert isinstance(value, dict)  # noqa: S101 - the root of every answer
    return value if reveal else _withhold(value)


def _parameters(command: bytes) -> dict[str, Any] | None:
    if not command:
        return None
    sent = plist.to_json(plist.loads(command).value["Command"])
    assert isinstance(sent, dict)  # noqa: S101 - it was checked before it was queued
    return {key: value for key, value in sent.items() if key != "RequestType"}


def _withhold(value: Any) -> Any:
    if isinstance(value, list):
        return [_withhold(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _WITHHELD if key in SECRET_KEYS else _withhold(item) for key, item in value.items()
        }
    return value


def _request_type(spec: CommandSpec) -> RequestType:
    return RequestType(
        request_type=spec.request_type,
        dangerous=spec.dangerous,
        required=list(spec.required_keys),
        keys={name: key.type for name, key in spec.keys.items()},
        platforms={name: support.introduced for name, support in spec.platforms.items()},
    )


_COMMAND = "/api/v1/commands/{uuid}"

operations = (
    Operation(
        method="POST", path="/api/v1/commands", handler=enqueue, scope="write",
        summary="Queue a command for all targets, or for none", body=CommandBody,
        answer=CommandsAnswer, status=202, repeatable=True,
    ),
    Operation(
        method="GET", path=_COMMAND, handler=show, summary="Show one command with its result",
        query=CommandQuery, answer=CommandAnswer,
    ),
    Operation(
        method="DELETE", path=_COMMAND, handler=cancel, scope="write",
        summary="Cancel a command while it is queued", answer=CommandAnswer,
    ),
    Operation(
        method="POST", path=f"{_COMMAND}/secrets", handler=secrets, scope="secrets",
        summary="Show one command with its secrets, which is recorded; at most 10 in an hour",
        body=SecretsBody, answer=SecretsAnswer,
    ),
    Operation(
        method="POST", path=f"{_COMMAND}/release", handler=release, scope="write",
        summary="Send a dangerous command that was held when a backup was restored",
        body=ReleaseBody, answer=CommandAnswer,
    ),
    Operation(
        method="GET", path="/api/v1/restored-commands", handler=restored,
        summary="List what a restore has held, or may make happen twice",
        answer=Page[RestoredCommandAnswer],
    ),
    Operation(
        method="GET", path="/api/v1/command-types", handler=types,
        summary="List the request types with their keys", answer=Page[RequestType],
    ),
)  # fmt: skip
