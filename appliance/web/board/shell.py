"""The frame of every page for signed-in people: who they are, where they are, where they can go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from aiohttp import web

from appliance.errors import ApplianceError
from appliance.web import csrf
from appliance.web.cookies import SAFE_METHODS
from appliance.web.errors import API_STATUS, set_retry_after, status_of
from appliance.web.keys import CONFIG
from appliance.web.pages import Page, respond
from appliance.web.sessions import LAST_EVENT, session_of

# A demonstration says so on every page: its devices are simulated.
DEMO = web.AppKey("demo", bool)

_WORTH_COMPRESSING = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPage(Page):
    """What every page of the board shows; `section` is the entry of the navigation it is in."""

    section: ClassVar[str] = ""

    user: str
    csrf_token: str  # masked anew for every response, so compression tells nothing of it
    demo: bool
    last_event: int  # what the page shows is not older than this event
    is_live: bool  # not the answer to a form, whose address says something else when fetched
    query: str  # of this page's address, but for the language; ends with "&" unless it is empty


def frame(request: web.Request) -> dict[str, Any]:
    """Return the fields that every `BoardPage` has."""
    session = session_of(request)
    query = urlencode([(key, value) for key, value in request.query.items() if key != "lang"])
    return {
        "organization": request.app[CONFIG].server.organization,
        "host": request.host,
        "user": session.user,
        "csrf_token": csrf.masked(session.csrf_token),
        "demo": request.app[DEMO],
        "last_event": request[LAST_EVENT],
        "is_live": request.method in SAFE_METHODS,
        "query": f"{query}&" if query else "",
    }


def board_page(
    request: web.Request,
    page: BoardPage,
    *,
    status: int = 200,
    refused: ApplianceError | None = None,
) -> web.Response:
    """Answer `request` with `page`, compressed where that is worth it.

    Args:
        refused: why a form led nowhere, which the page says; it decides the status, too.
    """
    response = respond(request, page, status=status_of(refused, API_STATUS) if refused else status)
    if refused is not None:
        set_retry_after(response, refused)
    if len(response.text or "") > _WORTH_COMPRESSING:
        response.enable_compression()
    return response
