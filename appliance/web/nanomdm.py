"""NanoMDM's HTTP API, so that tools written for it work with their URL and key changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from appliance.config import Config
from appliance.errors import (
    ApplianceError,
    Conflict,
    InvalidRequest,
    MalformedMessage,
    NotAuthenticated,
    TooMany,
)
from appliance.mdm.checkin import parse_checkin
from appliance.mdm.command import parse_command
from appliance.services import Services
from appliance.services.command_orders import CommandOrder
from appliance.web.api.operation import raw_body_of
from appliance.web.api.push_certificate import split_pem
from appliance.web.authentication import CALLER, GATE, Gate
from appliance.web.errors import API_STATUS, NANOHUB, Handler, set_retry_after, status_of
from appliance.web.keys import SERVICES
from appliance.wire import plist

_MOST_PUSHES_AT_ONCE = 50


@dataclass(slots=True)
class Outcome:
    """NanoMDM's APIResult: what became of each enrollment ID."""

    attempts: int = 0
    failures: int = 0
    status: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, enrollment_id: str, key: str, text: str) -> None:
        """Count one attempt; keys that end in `_error` are failures.

        Who did not get the command is woken all the same, but that makes no success of it.
        """
        result = self.status.setdefault(enrollment_id, {})
        if "command_error" not in result:
            self.attempts += 1
            self.failures += key.endswith("_error")
        result[key] = text

    def answer(self, **rest: object) -> web.Response:
        """200 when all went well, 207 when some did, 500 when nothing did."""
        document = {"status": self.status, **rest}
        partly = 500 if self.failures == self.attempts else 207
        code = partly if self.failures else 200
        return _json({key: value for key, value in document.items() if value}, code)


async def show_push_certificate(request: web.Request) -> web.Response:
    """GET /v1/pushcert?topic=: when the certificate ends."""
    topic = request.query.get("topic")
    if not topic:
        return _error("missing required query parameter: topic", 400)
    status = (await request.app[SERVICES].push.status()).certificate
    if not status.configured or status.topic != topic:
        return _error(f"no push certificate for topic {topic}", 500)
    return _push_certificate(status.not_after, status.topic)


async def store_push_certificate(request: web.Request) -> web.Response:
    """PUT /v1/pushcert: certificate and key, both PEM, in one body."""
    if "admin" not in request[CALLER].scopes:
        return _error("the token needs the scope admin", 403)
    try:
        certificate, key = split_pem(await raw_body_of(request))
        status = await request.app[SERVICES].push.import_pem(certificate, key)
    except (InvalidRequest, Conflict) as error:
        return _error(_sentence(error), 400)
    return _push_certificate(status.certificate.not_after, status.certificate.topic)


async def push(request: web.Request) -> web.Response:
    """/v1/push/ID[,ID…]: wake devices now."""
    outcome = Outcome()
    await _push(request.app[SERVICES], _ids(request), outcome)
    return outcome.answer()


async def enqueue(request: web.Request) -> web.Response:
    """/v1/enqueue/ID[,ID…]: queue one raw command for each, then wake them."""
    body, services, outcome = await raw_body_of(request), request.app[SERVICES], Outcome()
    try:
        command = await asyncio.to_thread(parse_command, body)  # 4 MiB take most of a second
    except ApplianceError as error:
        return _json({"command_error": error.problem}, 400)
    no_push = bool(request.query.get("nopush") or request.query.get("no_push"))
    await _enqueue(request, _ids(request), body, outcome)
    if not no_push:
        await _push(services, _ids(request), outcome)
    uuid, kind = command.command_uuid, command.request_type
    return outcome.answer(no_push=no_push, command_uuid=uuid, request_type=kind)


async def _enqueue(request: web.Request, ids: Sequence[str], body: bytes, outcome: Outcome) -> None:
    """Queue one by one: their tools expect the good ones to pass beside the bad ones."""
    services, caller = request.app[SERVICES], request[CALLER]
    most_dangerous = request.app[GATE].danger_quota(request)
    is_alone = len(ids) == 1

    async def one(enrollment_id: str) -> None:
        # The push follows at once and by name, hence none from the queue.
        order = CommandOrder(
            targets=[enrollment_id], plist=body, push=False, confirmation=False,
            is_alone=is_alone, may_danger="danger" in caller.scopes, by=caller.name,
            most_dangerous=most_dangerous,
        )  # fmt: skip
        try:
            await services.commands.enqueue(order)
        except TooMany:  # of a dangerous command, which is alone in its request: there is no part
            raise
        except ApplianceError as error:
            outcome.add(enrollment_id, "command_error", _sentence(error))
        else:
            outcome.attempts += 1

    await asyncio.gather(*(one(enrollment_id) for enrollment_id in ids))


async def _push(services: Services, ids: Iterable[str], outcome: Outcome) -> None:
    limit = asyncio.Semaphore(_MOST_PUSHES_AT_ONCE)

    async def one(enrollment_id: str) -> None:
        try:
            async with limit:
                result = await services.push.request(enrollment_id)
        except ApplianceError as error:
            outcome.add(enrollment_id, "push_error", error.problem)
            return
        if result.error is not None:
            outcome.add(enrollment_id, "push_error", result.error)
        else:
            outcome.add(enrollment_id, "push_result", result.apns_id or "")

    await asyncio.gather(*(one(enrollment_id) for enrollment_id in ids))


async def migrate(request: web.Request) -> web.Response:
    """PUT /migration: a check-in message of a device that another server enrolled."""
    message = await asyncio.to_thread(plist.loads, await raw_body_of(request))
    await request.app[SERVICES].moving.check_in(parse_checkin(message))
    return web.Response()


def _ids(request: web.Request) -> list[str]:
    given = request.match_info["ids"].split(",")
    ids = list(dict.fromkeys(enrollment_id for enrollment_id in given if enrollment_id))
    if not ids:  # a variable of a script that was empty: nothing done is no success
        raise MalformedMessage("no enrollment ID is named")
    return ids


def _push_certificate(not_after: datetime | None, topic: str | None) -> web.Response:
    ends = "" if not_after is None else not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    return _json({"topic": topic, "not_after": ends}, 200)


def _sentence(error: ApplianceError) -> str:
    return ": ".join(part for part in (error.problem, error.why, error.fix) if part)


def _error(text: str, status: int) -> web.Response:
    return _json({"error": text}, status)


def _json(document: dict[str, Any], status: int) -> web.Response:
    text = json.dumps(document, indent="\t") + "\n"
    headers = {"WWW-Authenticate": 'Basic realm="appliance"'} if status == 401 else {}
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)


def _guarded(gate: Gate, handler: Handler, scope: str = "write") -> Handler:
    """NanoMDM's clients know Basic auth and errors that are one text."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            request[CALLER] = await gate.require(request, scope, sessions=False)
            return await handler(request)
        except ApplianceError as error:
            status = 401 if isinstance(error, NotAuthenticated) else status_of(error, API_STATUS)
            response = _error(error.problem, status)
            set_retry_after(response, error)
            return response

    return guarded


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes, at NanoMDM's own paths and at NanoHUB's."""
    gate = Gate(config)
    table: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/pushcert", show_push_certificate),
        ("PUT", "/pushcert", store_push_certificate),
        ("*", "/push/{ids}", push),
        ("*", "/enqueue/{ids}", enqueue),
    )
    migration = web.put("/migration", _guarded(gate, migrate, "admin"))
    return [migration] + [
        web.route(method, prefix + path, _guarded(gate, handler))
        for prefix in ("/v1", NANOHUB)
        for method, path, handler in table
    ]
