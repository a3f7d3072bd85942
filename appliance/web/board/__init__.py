"""The board: the page of an administrator, one module a section."""

from __future__ import annotations

from aiohttp import web

from appliance.config import Config
from appliance.web.board import (
    account,
    activity,
    certificates,
    command,
    device,
    devices,
    enrollment,
    enrollment_link,
    home,
    login,
    send,
)


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes of all sections."""
    return [
        *login.routes(config),
        *account.routes(),
        *home.routes(),
        *devices.routes(),
        *device.routes(),
        *send.routes(),
        *command.routes(),
        *enrollment.routes(),
        *enrollment_link.routes(),
        *certificates.routes(),
        *activity.routes(),
    ]
