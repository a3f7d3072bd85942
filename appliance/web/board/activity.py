"""`/activity`: what happened, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from aiohttp import web

from appliance.services.activity import Line
from appliance.store.activity import VIEWS
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.keys import SERVICES
from appliance.web.sessions import signed_in

_PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage(BoardPage):
    """One page of lines, of one view (`show`) or of everything."""

    template: ClassVar[str] = "board/activity.html"
    section: ClassVar[str] = "activity"
    views: ClassVar[tuple[str, ...]] = tuple(VIEWS)

    lines: list[Line]
    show: str
    cursor: str
    next_cursor: str | None

    @property
    def first_page(self) -> str:
        """The address of the newest events."""
        return f"/activity?{urlencode(self._filter())}"

    @property
    def next_page(self) -> str:
        """The address of older events; it is of use where there is a `next_cursor`."""
        return f"/activity?{urlencode({**self._filter(), 'cursor': self.next_cursor or ''})}"

    def _filter(self) -> dict[str, str]:
        return {"show": self.show} if self.show else {}


@signed_in
async def activity(request: web.Request) -> web.StreamResponse:
    """GET /activity?show=&cursor=."""
    show = request.query.get("show", "")
    show = show if show in VIEWS else ""
    cursor = request.query.get("cursor", "")
    lines, following = await request.app[SERVICES].overview.activity(
        show or None, cursor or None, _PAGE
    )
    page = ActivityPage(
        **frame(request), lines=lines, show=show, cursor=cursor, next_cursor=following
    )
    return board_page(request, page)


def routes() -> list[web.RouteDef]:
    """Return the route of the page."""
    return [web.get("/activity", activity)]
