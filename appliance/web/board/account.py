"""`/account`: one's own password, and the browsers in which one is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from appliance.errors import ApplianceError, Busy, InvalidRequest, SignInRefused, TooMany
from appliance.store.users import User
from appliance.web.addresses import remote_address
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.board.troubles import Different, Trouble, trouble_of, wait_minutes
from appliance.web.cookies import clear_session
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.sessions import form_of, see_other, session_of, signed_in


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage(BoardPage):
    """The user's account, and what became of the form."""

    template: ClassVar[str] = "board/account.html"
    section: ClassVar[str] = "account"

    account: User
    sessions: int  # browsers that are signed in, this one among them
    min_password: int
    trouble: Trouble | None = None
    wait_minutes: int = 0
    is_changed: bool = False


@signed_in
async def account(request: web.Request) -> web.StreamResponse:
    """GET /account."""
    return await _shown(request)


@signed_in
async def change_password(request: web.Request) -> web.StreamResponse:
    """POST /account/password: the old one, and twice the new one."""
    form = await form_of(request)
    old, new = form.get("old", ""), form.get("password", "")
    accounts = request.app[SERVICES].accounts
    try:
        if new != form.get("again", ""):
            raise Different("the passwords differ")
        await accounts.change_password(session_of(request), old, new, remote_address(request))
    except (SignInRefused, InvalidRequest, TooMany, Busy) as error:
        return await _shown(request, error)
    return see_other("/account?changed=1")


@signed_in
async def sign_out_everywhere(request: web.Request) -> web.StreamResponse:
    """POST /account/sign-out: every browser of this user, this one too."""
    await form_of(request)
    await request.app[SERVICES].sessions.end_all(session_of(request))
    response = see_other("/login")
    clear_session(response)
    return response


async def _shown(request: web.Request, error: ApplianceError | None = None) -> web.Response:
    session = session_of(request)
    services = request.app[SERVICES]
    page = AccountPage(
        **frame(request),
        account=await services.accounts.user(session.user),
        sessions=await services.sessions.count(session),
        min_password=request.app[CONFIG].auth.min_password,
        trouble=None if error is None else trouble_of(error, Trouble.OLD),
        wait_minutes=wait_minutes(error),
        is_changed=error is None and "changed" in request.query,
    )
    return board_page(request, page, refused=error)


def routes() -> list[web.RouteDef]:
    """Return the routes of the page."""
    return [
        web.get("/account", account),
        web.post("/account/password", change_password),
        web.post("/account/sign-out", sign_out_everywhere),
    ]
