"""`/enrollment`: links by which devices enroll, and how far those have come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from appliance.errors import ApplianceError, Busy, InvalidRequest
from appliance.services.enrolling import LinkStory
from appliance.store.journeys import Journey
from appliance.store.links import EnrollmentLink
from appliance.web.board.enrollment_link import STAGES, address_of, worth_showing
from appliance.web.board.once import ONCE_FIELD, form_request, new_once
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.keys import SERVICES
from appliance.web.sessions import CSRF_FIELD, form_of, see_other, signed_in

EXPIRIES = ("1h", "1d", "7d", "30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The form for one more link, as it was filled in."""

    label: str = ""
    uses: str = "1"
    expires_in: str = "7d"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentPage(BoardPage):
    """Every link, and what became of the form."""

    template: ClassVar[str] = "board/enrollment.html"
    section: ClassVar[str] = "enroll"
    expiries: ClassVar[tuple[str, ...]] = EXPIRIES
    stages: ClassVar[Mapping[str, str]] = STAGES

    can_enroll: bool  # false: there is no push certificate yet
    open: list[LinkStory]
    closed: list[LinkStory]
    wish: Wish
    trouble: ApplianceError | None = None
    once: str  # of this copy of the form

    @property
    def wrong(self) -> str:
        """The field that is wrong, "" where none is."""
        trouble = self.trouble
        return trouble.pointer.removeprefix("/") if isinstance(trouble, InvalidRequest) else ""

    def address(self, link: EnrollmentLink) -> str:
        """Return the address of the link's own page."""
        return address_of(link)

    def shown(self, story: LinkStory) -> list[Journey]:
        """Return the devices of a link that are worth a line."""
        return worth_showing(story)


@signed_in
async def enrollment(request: web.Request) -> web.StreamResponse:
    """GET /enrollment."""
    return await _shown(request, Wish())


@signed_in
async def create(request: web.Request) -> web.StreamResponse:
    """POST /enrollment: one more link."""
    form = await form_of(request)
    wish = Wish(**{name: form.get(name, "").strip() for name in ("label", "uses", "expires_in")})
    wanted = {name: value for name, value in form.items() if name != CSRF_FIELD}
    try:
        link = await request.app[SERVICES].enrolling.create_link(
            uses=int(wish.uses) if wish.uses.isdecimal() and len(wish.uses) < 9 else 0,
            expires_in=wish.expires_in or None,
            label=wish.label,
            request=form_request(request, form.get(ONCE_FIELD, ""), wanted),
        )
    except (InvalidRequest, Busy) as trouble:
        return await _shown(request, wish, trouble)
    return see_other(address_of(link))


@signed_in
async def revoke(request: web.Request) -> web.StreamResponse:
    """POST /enrollment/revoke: a link and all that came of it and was not used."""
    form = await form_of(request)
    await request.app[SERVICES].enrolling.revoke_link(form.get("code", ""))
    return see_other("/enrollment")


async def _shown(
    request: web.Request, wish: Wish, trouble: ApplianceError | None = None
) -> web.Response:
    enrolling = request.app[SERVICES].enrolling
    stories = await enrolling.stories()
    page = EnrollmentPage(
        **frame(request),
        can_enroll=await enrolling.topic() is not None,
        open=[story for story in stories if story.link.state == "open"],
        closed=[story for story in stories if story.link.state != "open"],
        wish=wish,
        trouble=trouble,
        once=new_once(),
    )
    return board_page(request, page, refused=trouble)


def routes() -> list[web.RouteDef]:
    """Return the routes of the page."""
    return [
        web.get("/enrollment", enrollment),
        web.post("/enrollment", create),
        web.post("/enrollment/revoke", revoke),
    ]
