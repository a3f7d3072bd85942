"""The MDM endpoint: check-in messages and command reports, at one URL or at two."""

from __future__ import annotations

import asyncio

from aiohttp import web

from appliance.config import Config
from appliance.errors import MalformedMessage
from appliance.mdm.checkin import parse_checkin
from appliance.mdm.command import parse_result
from appliance.web.bodies import read_body
from appliance.web.devices import device_endpoint
from appliance.web.identity import device_certificate
from appliance.web.keys import CONFIG, SERVICES
from appliance.wire import plist
from appliance.wire.plist import Plist

_CHECKIN = "application/x-apple-aspen-mdm-checkin"
_REPORT = "application/x-apple-aspen-mdm"
_XML = "application/xml; charset=UTF-8"
_PARSED_IN_A_THREAD = 32 * 1024


@device_endpoint
async def mdm(request: web.Request) -> web.Response:
    """PUT: one message of a device in, at most one plist out.

    The content type says which kind it is; where it says neither, the message itself does:
    a check-in has `MessageType`, a report has `Status`.
    """
    limits = request.app[CONFIG].limits
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_checkin = kind.startswith(_CHECKIN)
    body = await read_body(
        request, 1024 * (limits.checkin_body_kib if is_checkin else limits.result_body_kib)
    )
    signer = device_certificate(request, body)
    message = await _parse(body)
    if not is_checkin and kind != _REPORT:
        is_checkin = "MessageType" in message
    if is_checkin:
        if "Status" in message and "MessageType" not in message:
            raise MalformedMessage("a command report was sent as a check-in")
        reply = await request.app[SERVICES].checkins.handle(signer, parse_checkin(message))
    else:
        result = parse_result(message)
        reply = await request.app[SERVICES].commands.report_and_next(signer, result, body) or b""
    if not reply:
        return web.Response()
    return web.Response(body=reply, headers={"Content-Type": _XML})


async def _parse(body: bytes) -> Plist:
    """Parse a short message at once, and a long one where it holds up nobody else."""
    if len(body) <= _PARSED_IN_A_THREAD:
        return plist.loads(body)
    return await asyncio.to_thread(plist.loads, body)


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes."""
    return [web.put(path, mdm) for path in paths(config)]


def paths(config: Config) -> list[str]:
    """Return the addresses of the endpoint, with those of other servers where they are wanted."""
    others = ["/mdm/connect", "/mdm/checkin", "/checkin"] if config.mdm.compat_paths else []
    return ["/mdm", *others]
