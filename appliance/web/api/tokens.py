"""`/api/v1/tokens`: what programs prove themselves with."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from appliance.errors import ScopeMissing
from appliance.store.tokens import ApiToken
from appliance.web.api.operation import Operation, answer, body_of, caller_of, services_of
from appliance.web.api.schema import Page, TokenAnswer, TokenBody


async def create(request: web.Request) -> web.Response:
    """Make a token."""
    body = await body_of(request, TokenBody)
    beyond = sorted({"danger", "secrets"} & set(body.scopes) - caller_of(request).scopes)
    if beyond:
        raise ScopeMissing(
            f"a token may not give away the scope {beyond[0]}, which it does not have",
            fix="make this token on the server itself: `appliance token create`",
        )
    token, text = await services_of(request).tokens.create(body.name, body.scopes, body.expires_at)
    return answer(TokenAnswer(**asdict(token), token=text), status=201, secret=True)


async def listing(request: web.Request) -> web.Response:
    """All tokens, without their texts."""
    return answer(Page(items=await services_of(request).tokens.listing()))


async def revoke(request: web.Request) -> web.Response:
    """Revoke a token."""
    await services_of(request).tokens.revoke(request.match_info["name"])
    return web.Response(status=204)


_TOKENS = "/api/v1/tokens"

operations = (
    Operation(
        method="POST", path=_TOKENS, handler=create, scope="admin", summary="Make a token",
        body=TokenBody, answer=TokenAnswer, status=201,
    ),
    Operation(
        method="GET", path=_TOKENS, handler=listing, scope="admin", summary="List the tokens",
        answer=Page[ApiToken],
    ),
    Operation(
        method="DELETE", path=f"{_TOKENS}/{{name}}", handler=revoke, scope="admin",
        summary="Revoke a token", status=204,
    ),
)  # fmt: skip
