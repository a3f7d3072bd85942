"""`/certificates`: the push certificate and all others, by when they end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import BodyPartReader, web

from appliance.errors import ApplianceError, InvalidRequest, MalformedMessage, TooLarge
from appliance.services.overview import Certificates
from appliance.web.api.push_certificate import split_pem
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.bodies import BROKEN_FORM, media_type
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.sessions import see_other, signed_in, verify_csrf
from appliance.wire.certificates import as_pem

_UPLOAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesPage(BoardPage):
    """All certificates, and what became of an upload."""

    template: ClassVar[str] = "board/certificates.html"
    section: ClassVar[str] = "certificate"

    certificates: Certificates
    account: str
    devices_url: str  # where the port of the devices is, "" if it is this one
    imported: bool = False
    trouble: ApplianceError | None = None


@signed_in
async def certificates(request: web.Request) -> web.StreamResponse:
    """GET /certificates."""
    return await _shown(request, imported="imported" in request.query)


@signed_in
async def import_push_certificate(request: web.Request) -> web.StreamResponse:
    """POST /certificates: a push certificate with its key: PEM, DER or PKCS#12."""
    form = await _upload(request)
    verify_csrf(request, {"csrf_token": _text(form, "csrf_token")})
    account = _text(form, "account")
    try:
        await _import(request, form, account)
    except ApplianceError as trouble:
        return await _shown(request, trouble=trouble, account=account)
    return see_other("/certificates?imported=#push")


async def _shown(
    request: web.Request,
    *,
    imported: bool = False,
    trouble: ApplianceError | None = None,
    account: str = "",
) -> web.Response:
    found = await request.app[SERVICES].overview.certificates()
    server = request.app[CONFIG].server
    page = CertificatesPage(
        **frame(request),
        certificates=found,
        account=account or found.push.certificate.account,
        devices_url=server.base_url if server.admin_listen else "",
        imported=imported,
        trouble=trouble,
    )
    return board_page(request, page, refused=trouble)


async def _import(request: web.Request, form: dict[str, bytes], account: str) -> None:
    push = request.app[SERVICES].push
    content, key = form.get("certificate", b""), form.get("key", b"")
    password = form.get("password", b"").decode("utf-8", "replace") or None
    if key.strip():  # a file each, and no PKCS#12 then
        content = as_pem(content, "CERTIFICATE") + as_pem(key, "PRIVATE KEY")
    if not content.strip():
        raise InvalidRequest(
            "choose the file of the certificate",
            code="push_certificate.no_file",
            pointer="/certificate",
        )
    if b"-----BEGIN" in content:
        certificate, key = split_pem(content)
        await push.import_pem(certificate, key, password=password, account=account)
    else:
        await push.import_pkcs12(content, password=password, account=account)


async def _upload(request: web.Request) -> dict[str, bytes]:
    """Return the parts of a form with files, which never touch the disk.

    Raises:
        MalformedMessage, TooLarge: it is no such form, or too large.
    """
    if media_type(request) != "multipart/form-data" or request.content_length is None:
        raise MalformedMessage("a form with files is multipart/form-data of a known length")
    if request.content_length > _UPLOAD_BYTES:
        raise TooLarge(f"the form is larger than {_UPLOAD_BYTES} bytes")
    parts: dict[str, bytes] = {}
    try:
        async with asyncio.timeout(request.app[CONFIG].limits.body_seconds):
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name:
                    parts[part.name] = bytes(await part.read())
    except BROKEN_FORM as error:
        raise MalformedMessage("the form cannot be read") from error
    return parts


def _text(form: dict[str, bytes], name: str) -> str:
    return form.get(name, b"").decode("utf-8", "replace").strip()


def routes() -> list[web.RouteDef]:
    """Return the routes of the page."""
    return [
        web.get("/certificates", certificates),
        web.post("/certificates", import_push_certificate),
    ]
