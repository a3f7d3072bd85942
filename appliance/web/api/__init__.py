"""The REST API: every operation in one table, which routes and the OpenAPI file come from."""

from __future__ import annotations

from aiohttp import web

from appliance.config import Config
from appliance.web.api import (
    backups,
    ca,
    commands,
    devices,
    enrollment_links,
    events,
    moving,
    push_certificate,
    status,
    tokens,
    users,
    webhooks,
)
from appliance.web.api.operation import Operation
from appliance.web.authentication import Gate

OPERATIONS: tuple[Operation, ...] = (
    *devices.operations,
    *commands.operations,
    *enrollment_links.operations,
    *events.operations,
    *push_certificate.operations,
    *tokens.operations,
    *users.operations,
    *backups.operations,
    *ca.operations,
    *moving.operations,
    *webhooks.operations,
    *status.operations,
)


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes of the API, each behind the same gate."""
    gate = Gate(config)
    return [operation.route(gate) for operation in OPERATIONS]
