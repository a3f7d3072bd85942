"""Error pages for people: what a browser gets where a program gets a problem document."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from aiohttp import web
from yarl import URL

from appliance import logs
from appliance.errors import ApplianceError, Busy
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.cookies import SAFE_METHODS
from appliance.web.errors import API_STATUS, Handler, logged_path, set_retry_after, status_of
from appliance.web.keys import CONFIG
from appliance.web.pages import Page, respond
from appliance.web.sessions import current_session, see_other, signed_in

logger = logging.getLogger(__name__)

_PROGRAMS = ("/api/", "/v1/", "/static/", "/metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong; `number` stands in the log beside the cause, where that is not shown."""

    status: int
    problem: str = ""
    fix: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePage(Page):
    """The failure as a stranger sees it."""

    template: ClassVar[str] = "failure.html"

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFailurePage(BoardPage):
    """The failure as somebody who signed in sees it, with the way back at hand."""

    template: ClassVar[str] = "board/failure.html"

    failure: Failure


@web.middleware
async def failure_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's request that fails with a page; leave those of programs alone."""
    if request.path.startswith(_PROGRAMS) or "text/html" not in request.headers.get("Accept", ""):
        return await handler(request)
    try:
        return await handler(request)
    except ApplianceError as error:
        status = status_of(error, API_STATUS)
        if status >= 500 and not isinstance(error, Busy):
            return await _show(request, _logged(request))
        response = await _show(
            request, Failure(status=status, problem=error.problem, fix=error.fix)
        )
        set_retry_after(response, error)
        return response
    except web.HTTPException as error:
        above = await _page_above(request) if error.status == 405 else None
        if above is not None:
            return see_other(above)
        if error.status < 400 or error.status == 401:  # 401: the browser asks for the password
            raise
        response = await _show(request, Failure(status=error.status))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:  # the last line: the operator sees the cause, the person a number
        return await _show(request, _logged(request))


async def _page_above(request: web.Request) -> str | None:
    """Return the page of a form whose address was opened, as by a change of language after it."""
    if request.method not in SAFE_METHODS:
        return None
    for path in PurePosixPath(request.rel_url.raw_path).parents:
        address = URL(str(path), encoded=True)
        found = await request.app.router.resolve(request.clone(rel_url=address))
        if found.http_exception is None:
            return str(address.with_query(request.query))
    return None


def _logged(request: web.Request) -> Failure:
    number = secrets.token_hex(4)
    logger.exception(
        "page failed", extra={logs.PATH: logged_path(request), logs.REQUEST_ID: number}
    )
    return Failure(status=500, number=number)


async def _show(request: web.Request, failure: Failure) -> web.Response:
    async def in_frame(request: web.Request) -> web.Response:
        page = BoardFailurePage(**frame(request), failure=failure)
        return board_page(request, page, status=failure.status)

    try:
        if await current_session(request) is not None:
            shown = await signed_in(in_frame)(request)
            if isinstance(shown, web.Response):
                return shown
    except ApplianceError:  # no place for a session: another network, or a store that is busy
        pass
    organization = request.app[CONFIG].server.organization
    page = FailurePage(organization=organization, host=request.host, failure=failure)
    return respond(request, page, status=failure.status)
