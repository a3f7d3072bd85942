"""`/api/v1/users`, `/api/v1/sign-in-codes`: people who may sign in to the page."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from appliance.errors import ScopeMissing
from appliance.services.tokens import SCOPES
from appliance.store.users import User
from appliance.web.api.operation import Operation, answer, body_of, caller_of, services_of
from appliance.web.api.schema import (
    Page,
    PasswordBody,
    SignInCodeAnswer,
    SignInCodeBody,
    UserBody,
)
from appliance.web.authentication import SESSION


async def create(request: web.Request) -> web.Response:
    """Make a user."""
    _require_every_scope(request)
    body = await body_of(request, UserBody)
    user = await services_of(request).accounts.add_user(body.name, body.password)
    return answer(user, status=201)


async def listing(request: web.Request) -> web.Response:
    """All users."""
    return answer(Page(items=await services_of(request).accounts.users()))


async def set_password(request: web.Request) -> web.Response:
    """Change a password; the user's other sessions end."""
    _require_every_scope(request)
    body = await body_of(request, PasswordBody)
    await services_of(request).accounts.set_password(
        request.match_info["name"], body.password, keep=request.get(SESSION)
    )
    return web.Response(status=204)


async def remove(request: web.Request) -> web.Response:
    """Remove a user with all sessions."""
    _require_every_scope(request)
    await services_of(request).accounts.remove_user(request.match_info["name"])
    return web.Response(status=204)


async def new_code(request: web.Request) -> web.Response:
    """Make a one-time sign-in code; without any user, a setup code."""
    _require_every_scope(request)
    body = await body_of(request, SignInCodeBody)
    code = await services_of(request).accounts.new_sign_in_code(body.user)
    expires_at = datetime.fromtimestamp(code.expires_at / 1000, UTC)
    document = SignInCodeAnswer(code=code.code, url=code.url, user=code.user, expires_at=expires_at)
    return answer(document, status=201, secret=True)


def _require_every_scope(request: web.Request) -> None:
    """A user may do everything, so whoever makes or becomes one must be allowed to."""
    missing = sorted(set(SCOPES) - caller_of(request).scopes)
    if missing:
        raise ScopeMissing(
            f"this gives away the scope {missing[0]}, which the token does not have",
            fix="do it on the server itself: `appliance user`, `appliance open`",
        )


_USERS = "/api/v1/users"

operations = (
    Operation(
        method="POST", path=_USERS, handler=create, scope="admin", summary="Make a user",
        body=UserBody, answer=User, status=201,
    ),
    Operation(
        method="GET", path=_USERS, handler=listing, scope="admin", summary="List the users",
        answer=Page[User],
    ),
    Operation(
        method="PUT", path=f"{_USERS}/{{name}}/password", handler=set_password, scope="admin",
        summary="Change a password; the user's other sessions end", body=PasswordBody, status=204,
    ),
    Operation(
        method="DELETE", path=f"{_USERS}/{{name}}", handler=remove, scope="admin",
        summary="Remove a user with all sessions", status=204,
    ),
    Operation(
        method="POST", path="/api/v1/sign-in-codes", handler=new_code, scope="admin",
        summary="Make a code that signs a user in once; without any user, a setup code",
        body=SignInCodeBody, answer=SignInCodeAnswer, status=201,
    ),
)  # fmt: skip
