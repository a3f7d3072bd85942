"""`/api/v1/status`: the server's health on one screen."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aiohttp import web

from appliance.services.status import Overview
from appliance.web.api.operation import Operation, answer, services_of
from appliance.web.api.push_certificate import push_answer
from appliance.web.api.schema import StatusAnswer


async def show(request: web.Request) -> web.Response:
    """What an administrator looks at first."""
    overview = await services_of(request).status.overview()
    values: dict[str, Any] = {item.name: getattr(overview, item.name) for item in fields(Overview)}
    return answer(StatusAnswer(**{**values, "push": push_answer(overview.push)}))


operations = (
    Operation(
        method="GET",
        path="/api/v1/status",
        handler=show,
        summary="Show the server's health",
        answer=StatusAnswer,
    ),
)
