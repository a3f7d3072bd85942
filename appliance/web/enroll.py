"""Enrolling: the pages that a person opens, and the profiles behind them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance import __version__
from appliance.config import Config
from appliance.errors import ClockWrong, Conflict, NotFound
from appliance.store.journeys import Journey
from appliance.store.links import EnrollmentLink
from appliance.web import mdm
from appliance.web.addresses import remote_address
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import (
    EnrollCodePage,
    EnrollPage,
    HelpPage,
    HomePage,
    Page,
    Refusal,
    RefusedPage,
    TrustStep,
    respond,
)
from appliance.web.platforms import Platform, guess_platform
from appliance.web.scep import ScepLimit
from appliance.wire import certificates

_PROFILE = "application/x-apple-aspen-config"
_VISIT_BYTES = 5
_VISIT = re.compile("[0-9a-f]{10}")
ROOT = web.AppKey("root_certificate", x509.Certificate)
DOWNLOADS = web.AppKey("profile_downloads", ScepLimit)


async def home(request: web.Request) -> web.Response:
    """GET / for those who may not see the board: the server runs."""
    return respond(request, HomePage(**_who(request), version=__version__))


async def enroll(request: web.Request) -> web.Response:
    """GET /enroll: asks for a code, or enrolls anybody where that is allowed."""
    code = request.query.get("code", "").strip()
    if code:
        try:
            link = await request.app[SERVICES].enrolling.link(code)
        except NotFound:
            return respond(request, EnrollCodePage(**_who(request), code=code), status=404)
        raise web.HTTPFound(f"/e/{link.code}")
    if request.app[CONFIG].enroll.open:
        return await _enroll_page(request, None)
    return respond(request, EnrollCodePage(**_who(request)))


async def link_page(request: web.Request) -> web.Response:
    """GET /e/CODE: trust, then enroll."""
    enrolling = request.app[SERVICES].enrolling
    try:
        link = await enrolling.link(request.match_info["code"])
    except NotFound:
        return _refused(request, Refusal.UNKNOWN, status=404)
    await enrolling.opened(link, _platform(request))
    if link.state != "open":
        return _refused(request, Refusal(link.state), status=410, link=link)
    return await _enroll_page(request, link)


async def link_profile(request: web.Request) -> web.Response:
    """GET /e/CODE/enroll.mobileconfig: a profile with a challenge of its own."""
    enrolling = request.app[SERVICES].enrolling
    visit = _visit(request) or ""
    return await _download(request, lambda code: enrolling.profile(code, visit), "enroll")


async def profile_service(request: web.Request) -> web.Response:
    """GET /e/CODE/ota.mobileconfig: the same by proof, over the air."""
    return await _download(request, request.app[SERVICES].over_the_air.begin, "ota")


async def _download(
    request: web.Request, make: Callable[[str], Awaitable[bytes]], name: str
) -> web.Response:
    _count(request)
    try:
        profile = await make(request.match_info["code"])
    except NotFound:
        return _refused(request, Refusal.UNKNOWN, status=404)
    except ClockWrong:
        return _refused(request, Refusal.CLOCK_WRONG, status=503)
    except Conflict as error:
        if error.code == "push_certificate.missing":
            return _refused(request, Refusal.NO_PUSH_CERTIFICATE, status=503)
        link = await request.app[SERVICES].enrolling.link(request.match_info["code"])
        return _refused(request, Refusal(link.state), status=410)
    return profile_response(profile, name)


async def progress(request: web.Request) -> web.Response:
    """GET /e/CODE/progress?v=: how far the devices have come that used the link.

    The names of devices are for those who have the page open that they came from.
    """
    visit = _visit(request)
    try:
        link, journeys = await request.app[SERVICES].enrolling.progress(
            request.match_info["code"], visit
        )
    except NotFound as error:
        raise web.HTTPNotFound from error
    body = {
        "link": link.state,
        "devices": [_seen(one, named=visit is not None) for one in journeys],
    }
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.json_response(body, headers=headers)


def _seen(journey: Journey, *, named: bool) -> dict[str, object]:
    return {
        "stage": journey.stage,
        "refused": journey.is_refused,
        "name": journey.device_name if named else None,
        "model": journey.model if named else None,
    }


def _visit(request: web.Request) -> str | None:
    """Return the visit that the address names, None if it names none."""
    given = request.query.get("v", "")
    return given if _VISIT.fullmatch(given) else None


async def open_profile(request: web.Request) -> web.Response:
    """GET /enroll/enroll.mobileconfig: the same without a link, where that is allowed."""
    _count(request)
    try:
        return profile_response(await request.app[SERVICES].enrolling.open_profile(), "enroll")
    except NotFound as error:
        raise web.HTTPNotFound from error
    except ClockWrong:
        return _refused(request, Refusal.CLOCK_WRONG, status=503)
    except Conflict:
        return _refused(request, Refusal.NO_PUSH_CERTIFICATE, status=503)


def _count(request: web.Request) -> None:
    """Each profile is a challenge and an event: whoever has a link must not fill the disk.

    Raises:
        TooMany: they are counted apart from the certificates, and as many may be fetched.
    """
    request.app[DOWNLOADS].count(remote_address(request))


async def trust_profile(request: web.Request) -> web.Response:
    """GET /trust.mobileconfig: the trust anchor as a profile."""
    return profile_response(await request.app[SERVICES].enrolling.trust(), "trust")


async def root_certificate(request: web.Request) -> web.Response:
    """GET /root.pem: the trust anchor as PEM."""
    pem = request.app[ROOT].public_bytes(Encoding.PEM)
    return web.Response(body=pem, content_type="application/x-pem-file")


async def revocation_list(request: web.Request) -> web.Response:
    """GET /ca.crl: the certificates that count no more."""
    crl = await request.app[SERVICES].ca.crl()
    return web.Response(body=crl, content_type="application/pkix-crl")


async def help_page(request: web.Request) -> web.Response:
    """GET on an address that only devices use."""
    return respond(request, HelpPage(**_who(request), path=request.path))


async def _enroll_page(request: web.Request, link: EnrollmentLink | None) -> web.Response:
    enrolling = request.app[SERVICES].enrolling
    if enrolling.clock_is_wrong():
        return _refused(request, Refusal.CLOCK_WRONG, status=503)
    if await enrolling.topic() is None:
        return _refused(request, Refusal.NO_PUSH_CERTIFICATE, status=503)
    server = request.app[CONFIG].server
    visit = (_visit(request) or secrets.token_hex(_VISIT_BYTES)) if link else ""
    page = EnrollPage(
        **_who(request),
        url=enrolling.url(link.code) if link else f"{server.base_url}/enroll",
        profile_url=(
            f"/e/{link.code}/enroll.mobileconfig?v={visit}"
            if link
            else "/enroll/enroll.mobileconfig"
        ),
        progress_url=f"/e/{link.code}/progress" if link else "",
        visit=visit,
        platform=_platform(request),
        trust=None if server.tls_certificate else _trust_step(request.app[ROOT]),
        label=link.label if link else "",
        uses_left=link.uses - link.used if link else None,
        expires_at=link.expires_at if link else None,
    )
    return respond(request, page)


def _platform(request: web.Request) -> Platform:
    return guess_platform(request.headers.get("User-Agent", ""), request.query.get("device"))


def _trust_step(root: x509.Certificate) -> TrustStep:
    names = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return TrustStep(
        profile_url="/trust.mobileconfig",
        certificate_name=str(names[0].value),
        fingerprint=certificates.shown_fingerprint(root),
    )


def _refused(
    request: web.Request, reason: Refusal, *, status: int, link: EnrollmentLink | None = None
) -> web.Response:
    page: Page = RefusedPage(
        **_who(request),
        reason=reason,
        progress_url=f"/e/{link.code}/progress" if link else "",
        visit=_visit(request) or "",
    )
    return respond(request, page, status=status)


def profile_response(content: bytes, name: str) -> web.Response:
    """Return a profile as a download that nobody keeps."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.mobileconfig"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=content, content_type=_PROFILE, headers=headers)


def _who(request: web.Request) -> dict[str, str]:
    return {"organization": request.app[CONFIG].server.organization, "host": request.host}


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes of the enrollment pages and of the trust anchor."""
    return [
        web.get("/enroll", enroll),
        web.get("/enroll/enroll.mobileconfig", open_profile),
        web.get("/e/{code}", link_page),
        web.get("/e/{code}/enroll.mobileconfig", link_profile),
        web.get("/e/{code}/ota.mobileconfig", profile_service),
        web.get("/e/{code}/progress", progress),
        web.get("/trust.mobileconfig", trust_profile),
        web.get("/root.pem", root_certificate),
        web.get("/ca.crl", revocation_list),
        *[web.get(path, help_page) for path in mdm.paths(config)],
    ]
