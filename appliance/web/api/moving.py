"""`/api/v1/awaited-devices`, `/api/v1/former-authorities`: devices that another server enrolled."""

from __future__ import annotations

from aiohttp import web

from appliance.services.moving import Authority, Expected
from appliance.store.awaited import AwaitedDevice
from appliance.web.api.operation import (
    Operation,
    answer,
    body_of,
    query_of,
    services_of,
)
from appliance.web.api.schema import (
    AuthoritiesBody,
    ExpectedBody,
    Page,
    PageQuery,
)


async def listing(request: web.Request) -> web.Response:
    """One page of the devices that have not come yet."""
    query = query_of(request, PageQuery)
    items, cursor = await services_of(request).moving.awaited(query.cursor, query.limit)
    return answer(Page(items=items, next_cursor=cursor))


async def expect(request: web.Request) -> web.Response:
    """Tell which certificate each of them has."""
    body = await body_of(request, ExpectedBody)
    pairs = {(one.id, bytes.fromhex(one.certificate_sha256)) for one in body.devices}
    return answer(await services_of(request).moving.expect(pairs))


async def authorities(request: web.Request) -> web.Response:
    """The authorities whose certificates count for them."""
    return answer(Page(items=await services_of(request).moving.authorities(), next_cursor=None))


async def trust(request: web.Request) -> web.Response:
    """Let the certificates of more authorities count."""
    body = await body_of(request, AuthoritiesBody)
    found = await services_of(request).moving.trust(body.certificates.encode())
    return answer(Page(items=found, next_cursor=None), status=201)


async def distrust(request: web.Request) -> web.Response:
    """Let them count no more."""
    await services_of(request).moving.distrust(request.match_info["fingerprint"])
    return web.Response(status=204)


_DEVICES = "/api/v1/awaited-devices"
_AUTHORITIES = "/api/v1/former-authorities"

operations = (
    Operation(
        method="GET", path=_DEVICES, handler=listing, query=PageQuery, answer=Page[AwaitedDevice],
        summary="List the devices that another server enrolled and that have not come yet",
    ),
    Operation(
        method="POST", path=_DEVICES, handler=expect, scope="admin", body=ExpectedBody,
        summary="Tell which identity certificates they have", answer=Expected,
    ),
    Operation(
        method="GET", path=_AUTHORITIES, handler=authorities, answer=Page[Authority],
        summary="List the authorities whose certificates count for awaited devices",
    ),
    Operation(
        method="POST", path=_AUTHORITIES, handler=trust, scope="admin", body=AuthoritiesBody,
        summary="Let the certificates of an authority count for awaited devices",
        answer=Page[Authority], status=201,
    ),
    Operation(
        method="DELETE", path=f"{_AUTHORITIES}/{{fingerprint}}", handler=distrust, scope="admin",
        summary="Let them count no more", status=204,
    ),
)  # fmt: skip
