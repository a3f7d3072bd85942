"""Who has signed in: the guard of every page, and the proof that a form is one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from aiohttp import web

from appliance.errors import AccessRefused, MalformedMessage
from appliance.services.sessions import Session
from appliance.web import csrf
from appliance.web.authentication import CALLER, GATE, SESSION
from appliance.web.bodies import media_type, read_body
from appliance.web.cookies import SAFE_METHODS, is_attended, is_same_origin, session_token
from appliance.web.errors import Handler
from appliance.web.keys import SERVICES

CSRF_FIELD = "csrf_token"
# The newest event before a page was made; its live stream goes on from there.
LAST_EVENT = web.RequestKey("last_event", int)

_FORM_BYTES = 256 * 1024
_FORM_TYPE = "application/x-www-form-urlencoded"


def signed_in(handler: Handler) -> Handler:
    """Return `handler` for those who have signed in; others are led to where they can.

    The handler finds `session_of(request)` and `request[CALLER]`. What it does on POST it does
    with `await form_of(request)`, or after `verify_csrf`.

    Raises, when called:
        AccessRefused: an address, Host or Origin that may not use the page.
    """

    async def guarded(request: web.Request) -> web.StreamResponse:
        request.app[GATE].admit(request)
        session = await current_session(request)
        if session is None:
            return await _led_to_sign_in(request)
        request[SESSION] = session
        request[CALLER] = session.caller
        request[LAST_EVENT] = await request.app[SERVICES].live.newest_id()
        return await handler(request)

    return guarded


def session_of(request: web.Request) -> Session:
    """Return the session behind a handler that `signed_in` guards."""
    return request[SESSION]


async def current_session(request: web.Request) -> Session | None:
    """Return the session of the request's cookie, None where nobody has signed in."""
    token = session_token(request)
    if token is None:
        return None
    return await request.app[SERVICES].sessions.find(token, attended=is_attended(request))


async def form_of(request: web.Request) -> dict[str, str]:
    """Return the fields of one of our own forms, sent by somebody who has signed in.

    Raises:
        AccessRefused: the form is not one of ours, or of another session.
        MalformedMessage, TooLarge: it is no form.
    """
    form = await read_form(request)
    verify_csrf(request, form)
    return form


def verify_csrf(request: web.Request, form: Mapping[str, str]) -> None:
    """Check that a form comes from a page that this session was given.

    Raises:
        AccessRefused: it does not.
    """
    expected = session_of(request).csrf_token
    if not is_same_origin(request) or not csrf.matches(form.get(CSRF_FIELD, ""), expected):
        raise AccessRefused(
            "the form is not of a page that you opened in this session",
            fix="open the page again and repeat",
        )


async def read_form(request: web.Request, most: int = _FORM_BYTES) -> dict[str, str]:
    """Return the fields of a form of `most` bytes; of a repeated one, the last.

    Raises:
        MalformedMessage, TooLarge: it is no form, or a larger one than any of ours.
    """
    if media_type(request) != _FORM_TYPE:
        raise MalformedMessage(f"a form is {_FORM_TYPE}")
    body = await read_body(request, most)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=500))
    except ValueError as error:
        raise MalformedMessage("the form cannot be read") from error


async def _led_to_sign_in(request: web.Request) -> web.Response:
    if not await request.app[SERVICES].accounts.any_exists():
        return see_other("/setup")
    # What a form held is gone by then; its page is not.
    wanted = request.path_qs if request.method in SAFE_METHODS else "/"
    return see_other("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='/')}")


def see_other(location: str) -> web.Response:
    """Send the browser to `location` with a GET."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
