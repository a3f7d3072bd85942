"""`/enrollment`: links by which devices enroll, each with a code for their cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web
from markupsafe import Markup

from appliance.errors import ApplianceError
from appliance.store.links import EnrollmentLink
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.errors import API_STATUS, status_of
from appliance.web.keys import SERVICES
from appliance.web.pages import qr_code
from appliance.web.sessions import form_of, see_other, signed_in

EXPIRIES = ("1h", "1d", "7d", "30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLink:
    """A link with its address; `qr` is an inline SVG of it."""

    link: EnrollmentLink
    url: str

    @property
    def qr(self) -> Markup:
        """The address, for the camera of a device."""
        return qr_code(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentPage(BoardPage):
    """Every link, and what became of the form."""

    template: ClassVar[str] = "board/enrollment.html"
    section: ClassVar[str] = "enroll"

    can_enroll: bool  # false: there is no push certificate yet
    open: list[ShownLink]
    closed: list[EnrollmentLink]
    expiries: tuple[str, ...] = EXPIRIES
    trouble: ApplianceError | None = None


@signed_in
async def enrollment(request: web.Request) -> web.StreamResponse:
    """GET /enrollment."""
    return await _shown(request)


@signed_in
async def create(request: web.Request) -> web.StreamResponse:
    """POST /enrollment: one more link."""
    form = await form_of(request)
    uses = form.get("uses", "").strip()
    try:
        await request.app[SERVICES].enrolling.create_link(
            uses=int(uses) if uses.isdecimal() and len(uses) < 9 else 0,
            expires_in=form.get("expires_in") or None,
            label=form.get("label", "").strip(),
        )
    except ApplianceError as trouble:
        return await _shown(request, trouble=trouble)
    return see_other("/enrollment")


@signed_in
async def revoke(request: web.Request) -> web.StreamResponse:
    """POST /enrollment/revoke: a link and all that came of it and was not used."""
    form = await form_of(request)
    await request.app[SERVICES].enrolling.revoke_link(form.get("code", ""))
    return see_other("/enrollment")


async def _shown(request: web.Request, trouble: ApplianceError | None = None) -> web.Response:
    enrolling = request.app[SERVICES].enrolling
    links = await enrolling.links()
    shown = [
        ShownLink(link=link, url=enrolling.url(link.code)) for link in links if link.state == "open"
    ]
    page = EnrollmentPage(
        **frame(request),
        can_enroll=await enrolling.topic() is not None,
        open=shown,
        closed=[link for link in links if link.state != "open"],
        trouble=trouble,
    )
    status = 200 if trouble is None else status_of(trouble, API_STATUS)
    return board_page(request, page, status=status)


def routes() -> list[web.RouteDef]:
    """Return the routes of the page."""
    return [
        web.get("/enrollment", enrollment),
        web.post("/enrollment", create),
        web.post("/enrollment/revoke", revoke),
    ]
