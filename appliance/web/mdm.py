"""The MDM endpoint: check-in messages and command reports, at one URL or at two."""

from __future__ import annotations

import asyncio

from aiohttp import web

from appliance.config import Config
from appliance.errors import MalformedMessage, NotAuthorized, TooLarge
from appliance.mdm.checkin import CheckinMessage, parse_checkin
from appliance.mdm.command import CommandResult, parse_result
from appliance.services import Services
from appliance.web.admission import ADMISSION
from appliance.web.bodies import kind_of, read_body
from appliance.web.devices import device_endpoint
from appliance.web.identity import claimed_certificate, device_certificate
from appliance.web.keys import CONFIG, SERVICES
from appliance.wire import plist
from appliance.wire.cms import Signer

XML = "application/xml; charset=UTF-8"
JSON = "application/json"
SHORT_BODY = 32 * 1024  # longer ones are parsed in a thread

_CHECKIN = "application/x-apple-aspen-mdm-checkin"
_REPORT = "application/x-apple-aspen-mdm"


@device_endpoint
async def mdm(request: web.Request) -> web.StreamResponse:
    """PUT: one message of a device in, at most one plist out."""
    admission = request.app[ADMISSION]
    admission.check()
    content_type = request.headers.get("Content-Type", "")
    limit = "checkin_body_kib" if _is_checkin(content_type) else "result_body_kib"
    kib: int = getattr(request.app[CONFIG].limits, limit)
    try:
        body = await read_body(request, kib * 1024)
    except TooLarge:
        if (signer := claimed_certificate(request)) is not None:
            oversized = request.app[SERVICES].oversized
            await oversized.note(signer.sha256, limit=f"limits.{limit}", kib=kib)
        raise
    async with admission:
        if len(body) <= SHORT_BODY:
            signer = device_certificate(request, body)
        else:
            signer = await asyncio.to_thread(device_certificate, request, body)
        return reply(await answer(request.app[SERVICES], content_type, signer, body))


async def answer(services: Services, content_type: str, signer: Signer, body: bytes) -> bytes:
    """Act on one message of a device and return the body of the reply, often empty.

    The content type says which kind it is; where it says neither, the message itself does:
    a check-in has `MessageType`, a report has `Status`.
    """
    if len(body) <= SHORT_BODY:
        message = plist.loads_from_device(body)
    else:
        message = await asyncio.to_thread(plist.loads_from_device, body)
    is_checkin = _is_checkin(content_type)
    if not is_checkin and kind_of(content_type) != _REPORT:
        is_checkin = "MessageType" in message
    if is_checkin and "Status" in message and "MessageType" not in message:
        raise MalformedMessage("a command report was sent as a check-in")
    said = parse_checkin(message) if is_checkin else parse_result(message)
    try:
        return await _act(services, signer, said, body)
    except NotAuthorized:
        if await services.moving.adopt(signer, said.enrollment):
            return await _act(services, signer, said, body)
        await services.strangers.note(signer, said.enrollment.id)
        raise


async def _act(
    services: Services, signer: Signer, said: CheckinMessage | CommandResult, body: bytes
) -> bytes:
    if isinstance(said, CommandResult):
        return await services.commands.report_and_next(signer, said, body) or b""
    return await services.checkins.handle(signer, said, body)


def reply(body: bytes) -> web.Response:
    """Return the response with a property list or JSON, or with nothing."""
    if not body:
        return web.Response()
    return web.Response(body=body, headers={"Content-Type": content_type_of(body)})


def content_type_of(body: bytes) -> str:
    """Return what a reply is: JSON for declarative management, a property list for all else."""
    return JSON if body.startswith(b"{") else XML


def _is_checkin(content_type: str) -> bool:
    return kind_of(content_type).startswith(_CHECKIN)


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes."""
    return [web.put(path, mdm) for path in paths(config)]


def paths(config: Config) -> list[str]:
    """Return the addresses of the endpoint, with those of other servers where they are wanted."""
    others = ["/mdm/connect", "/mdm/checkin", "/checkin"] if config.mdm.compat_paths else []
    return ["/mdm", *others]
