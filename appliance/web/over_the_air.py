"""What devices sign to be enrolled: the over-the-air profile service, and MachineInfo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.web.addresses import remote_address
from appliance.web.admission import ADMISSION
from appliance.web.bodies import read_body
from appliance.web.devices import device_endpoint
from appliance.web.enroll import profile_response
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.scep import ScepLimit

LIMIT = web.AppKey("signed_messages", ScepLimit)


@device_endpoint
async def answer(request: web.Request) -> web.Response:
    """POST /ota: what a device signs, first with Apple's identity and then with ours."""
    return await _answered(request, request.app[SERVICES].over_the_air.answer)


@device_endpoint
async def enroll(request: web.Request) -> web.Response:
    """POST /e/CODE: MachineInfo, as a device sends it to the URL of its enrollment profile."""
    code, over_the_air = request.match_info["code"], request.app[SERVICES].over_the_air
    return await _answered(request, lambda message: over_the_air.enroll(code, message))


async def _answered(
    request: web.Request, answer: Callable[[bytes], Awaitable[bytes]]
) -> web.Response:
    """Signed messages cost what SCEP does, and have its limits."""
    admission = request.app[ADMISSION]
    admission.check()
    message = await read_body(request, request.app[CONFIG].limits.scep_body_kib * 1024)
    request.app[LIMIT].count(remote_address(request))
    async with admission:
        return profile_response(await answer(message), "enroll")


def routes() -> list[web.RouteDef]:
    """Return the routes; nobody but a device posts there."""
    return [web.post("/ota", answer), web.post("/e/{code}", enroll)]
