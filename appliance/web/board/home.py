"""`/`: whether all is well, what needs a person, and what happens now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from appliance.errors import AccessRefused
from appliance.services.overview import Home
from appliance.web import enroll
from appliance.web.authentication import GATE
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.keys import SERVICES
from appliance.web.sessions import signed_in


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage(BoardPage):
    """The verdict, the list of what needs a person, the state of the server, the latest events."""

    template: ClassVar[str] = "board/home.html"
    section: ClassVar[str] = "home"

    home: Home

    @property
    def answering(self) -> int:
        """How many managed devices were heard of lately."""
        return self.home.devices.get("enrolled", 0)

    @property
    def managed(self) -> int:
        """How many devices are enrolled and not blocked."""
        return self.answering + self.home.devices.get("silent", 0) + self.unheard

    @property
    def unheard(self) -> int:
        """How many of them have said nothing since they enrolled: nothing may have been asked."""
        return self.home.devices.get("unheard", 0)

    @property
    def known(self) -> int:
        """How many devices there ever were."""
        return sum(self.home.devices.values())


async def home(request: web.Request) -> web.StreamResponse:
    """GET /: the board; for an address or a Host that may not see it, that the server runs."""
    try:
        request.app[GATE].admit(request)
    except AccessRefused:
        return await enroll.home(request)
    return await _home(request)


@signed_in
async def _home(request: web.Request) -> web.StreamResponse:
    page = HomePage(**frame(request), home=await request.app[SERVICES].overview.home())
    return board_page(request, page)


def routes() -> list[web.RouteDef]:
    """Return the route of the first page."""
    return [web.get("/", home)]
