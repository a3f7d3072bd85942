"""`/enrollment/LINK`: one link to give away, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from aiohttp import web
from markupsafe import Markup

from appliance.services.enrolling import LinkStory
from appliance.store.events import Event
from appliance.store.journeys import Journey
from appliance.store.links import EnrollmentLink, reference
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.languages import NAMES, Language, catalogue, text
from appliance.web.pages import qr_code
from appliance.web.refusals import NEW_LINK, refusal_of
from appliance.web.sessions import signed_in

STAGES: Mapping[str, str] = {
    "downloaded": text("Profile downloaded"),
    "certified": text("Certificate issued"),
    "enrolled": text("Device enrolled"),
    "answered": text("First command answered"),
}
_DELETED_AFTER = timedelta(minutes=8)  # devices delete a download that nobody installs
_CHECKS_IN_WITHIN = timedelta(minutes=2)

_NO_CERTIFICATE = text("No certificate")
_NOT_INSTALLED = text(
    "Not installed within 8 minutes, so the device has deleted it. Does the device trust the "
    "server, and is its date right?"
)
_NOT_CHECKED_IN = text(
    "It has a certificate, but has not checked in. Does it reach the server by its name?"
)

_OPENED_LATE: Mapping[str, str] = {
    "used_up": text("Somebody opened the link after it was used up."),
    "expired": text("Somebody opened the link after it had expired."),
    "revoked": text("Somebody opened the link after it was revoked."),
}

# The poster is read by people of either language.
_POSTER = (
    text("Join “%(organization)s”"),
    text(
        "Open the Camera on your iPhone or iPad and point it at the code. "
        "On a Mac, type the address into Safari."
    ),
    text(
        "If Safari says “This Connection Is Not Private”, choose Show Details, "
        "then “visit this website”."
    ),
    text("Follow the steps on the page. They take about three minutes."),
    text("Valid until"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that went wrong by a link: `cause` and `fix` are to be translated."""

    at: datetime
    cause: str
    fix: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentLinkPage(BoardPage):
    """The code to scan, the address to copy, the devices that came, and what stopped others."""

    template: ClassVar[str] = "board/enrollment_link.html"
    section: ClassVar[str] = "enroll"
    stages: ClassVar[Mapping[str, str]] = STAGES

    link: EnrollmentLink
    url: str
    journeys: list[Journey]
    unused: int  # profiles that were downloaded and never installed
    troubles: list[Trouble]
    trusts_itself: bool  # the server's certificate is its own, so Safari warns

    @property
    def qr(self) -> Markup:
        """The address, for the camera of a device."""
        return qr_code(self.url)

    def hint(self, journey: Journey) -> str:
        """Return what to do about a device that comes no further, untranslated; "": nothing."""
        now = datetime.now(UTC)
        if journey.is_refused:  # the cause stands below
            return _NO_CERTIFICATE
        if journey.stage == "downloaded" and now - journey.downloaded_at > _DELETED_AFTER:
            return _NOT_INSTALLED
        if journey.certified_at is None or journey.enrolled_at is not None:
            return ""
        return _NOT_CHECKED_IN if now - journey.certified_at > _CHECKS_IN_WITHIN else ""

    @property
    def poster(self) -> list[tuple[Language, list[str]]]:
        """The poster's heading, its steps, and what stands before its date, in every language."""
        lines = [line for line in _POSTER if self.trusts_itself or line is not _POSTER[2]]
        values = {"organization": self.organization}
        return [
            (language, [catalogue(language).gettext(line) % values for line in lines])
            for language in NAMES
        ]


@signed_in
async def enrollment_link(request: web.Request) -> web.StreamResponse:
    """GET /enrollment/LINK, by its reference or its code."""
    enrolling = request.app[SERVICES].enrolling
    story = await enrolling.story(request.match_info["link"])
    shown = worth_showing(story)
    page = EnrollmentLinkPage(
        **frame(request),
        link=story.link,
        url=enrolling.url(story.link.code),
        journeys=shown,
        unused=len(story.journeys) - len(shown),
        troubles=_troubles(story.troubles),
        trusts_itself=not request.app[CONFIG].server.tls_certificate,
    )
    return board_page(request, page)


def address_of(link: EnrollmentLink) -> str:
    """Return the address of the link's page; it holds no code, so it may be kept anywhere."""
    return f"/enrollment/{reference(link.code)}"


def worth_showing(story: LinkStory) -> list[Journey]:
    """Return the journeys that got somewhere or were refused, and the last one that may still."""
    last = next((one for one in story.journeys if one.stage == "downloaded"), None)
    return [
        one for one in story.journeys if one.stage != "downloaded" or one.is_refused or one is last
    ]


def _troubles(events: list[Event]) -> list[Trouble]:
    """Return each trouble once, where it stands first, with how often it came."""
    found: dict[str, Trouble] = {}
    for event in events:
        trouble = _trouble(event)
        before = found.get(trouble.cause, trouble)
        count = before.count + 1 if trouble.cause in found else 1
        found[trouble.cause] = Trouble(
            at=before.at, cause=before.cause, fix=before.fix, count=count
        )
    return list(found.values())


def _trouble(event: Event) -> Trouble:
    if event.kind == "link.refused":
        cause = _OPENED_LATE.get(event.data["state"], _OPENED_LATE["expired"])
        return Trouble(at=event.at, cause=cause, fix=NEW_LINK)
    refusal = refusal_of(event.data["reason"])
    return Trouble(at=event.at, cause=refusal.cause, fix=refusal.fix)


def routes() -> list[web.RouteDef]:
    """Return the route of the page."""
    return [web.get("/enrollment/{link}", enrollment_link)]
