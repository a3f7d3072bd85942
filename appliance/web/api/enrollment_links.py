"""`/api/v1/enrollment-links`: links that let a number of devices enroll."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from appliance.services import Services
from appliance.store.links import EnrollmentLink
from appliance.web.api.operation import (
    Operation,
    answer,
    query_of,
    repeatable_body_of,
    services_of,
)
from appliance.web.api.schema import LinkAnswer, LinkBody, LinkQuery, Page


async def create(request: web.Request) -> web.Response:
    """Make a link."""
    body, repeat = await repeatable_body_of(request, LinkBody)
    services = services_of(request)
    link = await services.enrolling.create_link(
        uses=body.uses, expires_in=body.expires_in, label=body.label, request=repeat
    )
    return answer(_link(services, link), status=201, secret=True)


async def listing(request: web.Request) -> web.Response:
    """One page of links, newest first."""
    services, query = services_of(request), query_of(request, LinkQuery)
    links, cursor = await services.enrolling.links(query.cursor, query.limit)
    page = Page(items=[_link(services, link) for link in links], next_cursor=cursor)
    return answer(page, secret=True)


async def profile(request: web.Request) -> web.Response:
    """A fresh enrollment profile of a link."""
    body = await services_of(request).enrolling.profile(request.match_info["code"])
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, content_type=_MOBILECONFIG, headers=headers)


async def revoke(request: web.Request) -> web.Response:
    """Revoke a link."""
    services = services_of(request)
    link = await services.enrolling.revoke_link(request.match_info["code"])
    return answer(_link(services, link), secret=True)


def _link(services: Services, link: EnrollmentLink) -> LinkAnswer:
    return LinkAnswer(
        **asdict(link),
        url=services.enrolling.url(link.code),
        profile_url=services.enrolling.profile_url(link.code),
    )


_MOBILECONFIG = "application/x-apple-aspen-config"
_LINKS = "/api/v1/enrollment-links"

operations = (
    Operation(
        method="POST", path=_LINKS, handler=create, scope="write",
        summary="Make an enrollment link", body=LinkBody, answer=LinkAnswer, status=201,
        repeatable=True,
    ),
    Operation(
        method="GET", path=_LINKS, handler=listing, scope="write",
        summary="List the enrollment links, newest first", query=LinkQuery,
        answer=Page[LinkAnswer],
    ),
    Operation(
        method="GET", path=f"{_LINKS}/{{code}}/profile", handler=profile, scope="write",
        summary="Get a fresh enrollment profile", answer=bytes, content_type=_MOBILECONFIG,
    ),
    Operation(
        method="DELETE", path=f"{_LINKS}/{{code}}", handler=revoke, scope="write",
        summary="Revoke an enrollment link", answer=LinkAnswer,
    ),
)  # fmt: skip
