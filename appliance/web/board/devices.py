"""`/devices`: all devices, found by words, state and platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from aiohttp import web

from appliance.store.device_list import PLATFORMS, STATES, Found
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.keys import SERVICES
from appliance.web.sessions import signed_in

_PAGE = 50
_LONGEST_QUERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesPage(BoardPage):
    """One page of the list. What was looked for is "" where it does not matter."""

    template: ClassVar[str] = "board/devices.html"
    section: ClassVar[str] = "devices"
    states: ClassVar[tuple[str, ...]] = STATES
    device_platforms: ClassVar[tuple[str, ...]] = PLATFORMS

    found: Found
    q: str
    state: str
    platform: str
    cursor: str

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.q or self.state or self.platform)

    @property
    def first_page(self) -> str:
        """The address of the first page of this search."""
        return f"/devices?{urlencode(self._search())}"

    @property
    def next_page(self) -> str:
        """The address of the page that follows; it is of use where `found.more`."""
        cursor = {"cursor": self.found.devices[-1].id} if self.found.devices else {}
        return f"/devices?{urlencode({**self._search(), **cursor})}"

    def _search(self) -> dict[str, str]:
        fields = {"q": self.q, "state": self.state, "platform": self.platform}
        return {name: value for name, value in fields.items() if value}


@signed_in
async def devices(request: web.Request) -> web.StreamResponse:
    """GET /devices?q=&state=&platform=&cursor=: what is not known there counts as not asked."""
    query = request.query.get("q", "").strip()[:_LONGEST_QUERY]
    state = _one_of(STATES, request.query.get("state"))
    platform = _one_of(PLATFORMS, request.query.get("platform"))
    cursor = request.query.get("cursor", "")
    found = await request.app[SERVICES].overview.devices(
        query=query or None, state=state or None, platform=platform or None,
        after=cursor or None, limit=_PAGE,
    )  # fmt: skip
    page = DevicesPage(
        **frame(request), found=found, q=query, state=state, platform=platform, cursor=cursor
    )
    return board_page(request, page)


def _one_of(known: tuple[str, ...], asked: str | None) -> str:
    return asked if asked in known else ""


def routes() -> list[web.RouteDef]:
    """Return the route of the list."""
    return [web.get("/devices", devices)]
