"""SCEP over HTTP (RFC 8894, section 4)."""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import ip_network

from aiohttp import web

from appliance.config import LimitsConfig
from appliance.errors import MalformedMessage, TooMany
from appliance.scep.message import decode_get_message
from appliance.services.throttle import place
from appliance.web.addresses import Address, remote_address, within
from appliance.web.admission import ADMISSION
from appliance.web.bodies import read_body
from appliance.web.devices import device_endpoint
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import HelpPage, respond

PKI_MESSAGE = "application/x-pki-message"
CA_CERTIFICATE = "application/x-x509-ca-cert"
CA_CAPABILITIES = "text/plain; charset=utf-8"

_MOST_PLACES = 50_000


class ScepLimit:
    """Counts by address and overall what costs the server a signature and a row: PKIOperations,
    and profiles with a challenge.
    """

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._exempt = [ip_network(network) for network in limits.exempt]
        self._places: OrderedDict[str, int] = OrderedDict()
        self._minute = self._second = 0
        self._in_second = 0

    def count(self, address: Address | None) -> None:
        """Count one operation; an IPv6 /64 is one address, and none is one, too.

        Raises:
            TooMany: the address, or all together, have had their share.
        """
        if within(address, self._exempt):
            return
        now = int(time.monotonic())
        if now // 60 != self._minute:
            self._minute = now // 60
            self._places.clear()
        where = place(address)
        count = self._places.get(where, 0) + 1
        if count > self._limits.scep_per_minute:
            raise TooMany("too many enrollments from this address", 60 - now % 60)
        # Only what passed above counts for all, or one address could use up everybody's share.
        if now != self._second:
            self._second, self._in_second = now, 0
        if self._in_second >= self._limits.scep_per_second:
            raise TooMany("too many enrollments", 1)
        self._in_second += 1
        self._places[where] = count
        if len(self._places) > _MOST_PLACES:
            self._places.popitem(last=False)


LIMIT = web.AppKey("scep_limit", ScepLimit)


@device_endpoint
async def operation(request: web.Request) -> web.Response:
    """GET, HEAD or POST: what `operation` names."""
    ca = request.app[SERVICES].ca
    match request.query.get("operation"):
        case "GetCACaps":
            return web.Response(text=ca.capabilities)
        case "GetCACert":
            return web.Response(body=ca.certificate_der, content_type=CA_CERTIFICATE)
        case "PKIOperation":
            admission = request.app[ADMISSION]
            admission.check()
            message = await _pki_message(request)
            request.app[LIMIT].count(remote_address(request))
            async with admission:
                return web.Response(body=await ca.answer(message), content_type=PKI_MESSAGE)
        case None if request.method != "POST" and "text/html" in request.headers.get("Accept", ""):
            server = request.app[CONFIG].server
            page = HelpPage(organization=server.organization, host=request.host, path=request.path)
            return respond(request, page)
        case _:
            raise MalformedMessage("unknown SCEP operation")


async def _pki_message(request: web.Request) -> bytes:
    limit = request.app[CONFIG].limits.scep_body_kib * 1024
    if request.method == "POST":
        return await read_body(request, limit)
    if len(request.rel_url.raw_query_string) > 2 * limit:
        raise MalformedMessage("the query is too long")
    return decode_get_message(request.rel_url.raw_query_string)


def routes() -> list[web.RouteDef]:
    """Return the routes; some clients append a program name, as in the oldest drafts."""
    return [
        web.route(method, path, operation)
        for path in ("/scep", "/scep/", "/scep/{program}")
        for method in ("GET", "POST")  # GET brings HEAD
    ]
