"""Signing in and out, and the first account: pages for people who have no session yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from aiohttp import web

from appliance.config import Config
from appliance.errors import (
    AccessRefused,
    ApplianceError,
    Busy,
    Conflict,
    InvalidRequest,
    SignInRefused,
    TooMany,
)
from appliance.services.accounts import AccountService
from appliance.services.sessions import Session
from appliance.web.addresses import remote_address
from appliance.web.authentication import Gate
from appliance.web.board.troubles import Different, Trouble, trouble_of, wait_minutes
from appliance.web.cookies import clear_session, is_same_origin, session_token, set_session
from appliance.web.errors import API_STATUS, set_retry_after, status_of
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import Page, respond
from appliance.web.sessions import (
    current_session,
    form_of,
    read_form,
    see_other,
    session_of,
    signed_in,
)

_LONGEST_NEXT = 2000
_FORM_BYTES = 16 * 1024  # of a stranger's form
# One slash and then no other: "//host" and "/\host" are addresses of another server.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage(Page):
    """Asks for name and password; its script posts the one-time code of `/login#CODE`."""

    template: ClassVar[str] = "login.html"

    name: str = ""
    next: str = "/"
    trouble: Trouble | None = None
    wait_minutes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPage(Page):
    """Makes the first account from a setup code, which `/setup#CODE` fills in."""

    template: ClassVar[str] = "setup.html"

    min_password: int
    code: str = ""
    name: str = ""
    trouble: Trouble | None = None
    wait_minutes: int = 0


async def show_sign_in(request: web.Request) -> web.StreamResponse:
    """GET /login: the form, or straight on for whoever has signed in."""
    wanted = local_path(request.query.get("next", ""))
    if await current_session(request) is not None:
        return see_other(wanted)
    if not await _accounts(request).any_exists():
        return see_other("/setup")
    return respond(request, SignInPage(**_who(request), next=wanted))


async def sign_in(request: web.Request) -> web.StreamResponse:
    """POST /login: name and password, or a one-time code."""
    form = await _own_form(request)
    wanted = local_path(form.get("next", ""))
    code, name = form.get("code", ""), form.get("name", "")
    address = remote_address(request)
    try:
        if code:
            session = await _accounts(request).sign_in_with_code(code, address)
        else:
            session = await _accounts(request).sign_in(name, form.get("password", ""), address)
    except (SignInRefused, TooMany, Busy) as error:
        refused = Trouble.CODE if code else Trouble.WRONG
        page = SignInPage(
            **_who(request), name=name, next=wanted, trouble=trouble_of(error, refused),
            wait_minutes=wait_minutes(error),
        )  # fmt: skip
        return _refusal(request, page, error)
    return await _admitted(request, session, wanted)


async def show_setup(request: web.Request) -> web.StreamResponse:
    """GET /setup: the form, while there is no user."""
    if await _accounts(request).any_exists():
        return see_other("/login")
    return respond(request, SetupPage(**_who(request), min_password=_shortest(request)))


async def set_up(request: web.Request) -> web.StreamResponse:
    """POST /setup: the first user, who is signed in at once."""
    form = await _own_form(request)
    code, name, password = (form.get(field, "") for field in ("code", "name", "password"))
    try:
        if password != form.get("again", ""):
            raise Different("the passwords differ")
        session = await _accounts(request).set_up(code, name, password, remote_address(request))
    except Conflict:
        return see_other("/login")
    except (SignInRefused, InvalidRequest, TooMany, Busy) as error:
        page = SetupPage(
            **_who(request), min_password=_shortest(request), code=code, name=name,
            trouble=trouble_of(error, Trouble.CODE), wait_minutes=wait_minutes(error),
        )  # fmt: skip
        return _refusal(request, page, error)
    return await _admitted(request, session, "/")


async def sign_out(request: web.Request) -> web.StreamResponse:
    """POST /logout: the session ends on the server, and the browser forgets it."""
    await form_of(request)
    await request.app[SERVICES].sessions.end(session_of(request).token)
    response = see_other("/login")
    clear_session(response)
    return response


def local_path(wanted: str) -> str:
    """Return `wanted` if it is a path of this server, else "/"."""
    return wanted if len(wanted) <= _LONGEST_NEXT and _LOCAL_PATH.fullmatch(wanted) else "/"


async def _admitted(request: web.Request, session: Session, wanted: str) -> web.Response:
    """Replace whatever session the browser had: it may be one that somebody else planted."""
    old = session_token(request)
    if old is not None:
        await request.app[SERVICES].sessions.end(old)
    response = see_other(wanted)
    set_session(response, session.token)
    return response


async def _own_form(request: web.Request) -> dict[str, str]:
    """Without a session there is no CSRF token, but the browser says whose form it is."""
    if not is_same_origin(request):
        raise AccessRefused("a page of another site may not sign anybody in")
    return await read_form(request, _FORM_BYTES)


def _refusal(request: web.Request, page: Page, error: ApplianceError) -> web.Response:
    response = respond(request, page, status=status_of(error, API_STATUS))
    set_retry_after(response, error)
    return response


def _accounts(request: web.Request) -> AccountService:
    return request.app[SERVICES].accounts


def _shortest(request: web.Request) -> int:
    return request.app[CONFIG].auth.min_password


class _Who(TypedDict):
    organization: str
    host: str


def _who(request: web.Request) -> _Who:
    return {"organization": request.app[CONFIG].server.organization, "host": request.host}


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes; they answer where the administrator's interfaces do."""
    gate = Gate(config)
    return [
        web.get("/login", gate.open(show_sign_in)),
        web.post("/login", gate.open(sign_in)),
        web.get("/setup", gate.open(show_setup)),
        web.post("/setup", gate.open(set_up)),
        web.post("/logout", signed_in(sign_out)),
    ]
