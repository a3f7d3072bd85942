"""`/api/v1/certificate-authority`: who issues the devices' identities."""

from __future__ import annotations

from aiohttp import web

from appliance.services.ca import CaStatus
from appliance.web.api.operation import Operation, answer, body_of, services_of
from appliance.web.api.schema import RevokeBody, RevokedAnswer


async def show(request: web.Request) -> web.Response:
    """The authority and what it has issued."""
    return answer(await services_of(request).ca.status())


async def revoke(request: web.Request) -> web.Response:
    """Revoke one identity certificate."""
    body = await body_of(request, RevokeBody)
    return answer(RevokedAnswer(serial=await services_of(request).ca.revoke(body.name)))


_PATH = "/api/v1/certificate-authority"

operations = (
    Operation(
        method="GET", path=_PATH, handler=show, summary="Show the certificate authority",
        answer=CaStatus,
    ),
    Operation(
        method="POST", path=f"{_PATH}/revoke", handler=revoke, scope="admin",
        summary="Revoke a device's identity certificate", body=RevokeBody, answer=RevokedAnswer,
    ),
)  # fmt: skip
