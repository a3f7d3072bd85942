"""The board: the page of an administrator, one module a section."""

from __future__ import annotations

from aiohttp import web

from appliance.web.board import home


def routes() -> list[web.RouteDef]:
    """Return the routes of every page for people who have signed in."""
    return [*home.routes()]
