"""`/api/v1/push-certificate`: what lets the server wake devices."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict

from aiohttp import web

from appliance.errors import InvalidRequest, TooLarge
from appliance.services.push import PushStatus
from appliance.web.api.operation import (
    Operation,
    answer,
    body_of,
    query_of,
    raw_body_of,
    services_of,
)
from appliance.web.api.schema import (
    ImportQuery,
    PushCertificateAnswer,
    PushCertificateBody,
    PushTestAnswer,
)
from appliance.web.bodies import media_type
from appliance.wire.certificates import as_pem

# No block reaches into the next one, or each of many without an end would be looked for in all.
_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(?:(?!-----BEGIN ).)*?-----END \1-----", re.DOTALL
)
_LONGEST_PEM = 64 * 1024
_PEM_TYPES = ("application/x-pem-file", "application/pem-certificate-chain")


async def show(request: web.Request) -> web.Response:
    """Topic, expiry and account."""
    return answer(push_answer(await services_of(request).push.status()))


async def replace(request: web.Request) -> web.Response:
    """Import a certificate with its key."""
    take = _import_raw if media_type(request) in _PEM_TYPES else _import_json
    return answer(push_answer(await take(request)))


async def test(request: web.Request) -> web.Response:
    """Connect to Apple's push service."""
    return answer(PushTestAnswer(result=await services_of(request).push.test()))


def split_pem(text: bytes) -> tuple[bytes, bytes]:
    """Return the certificates and the key of a PEM file, in whichever order they stand.

    Blocks glued together without a line break between them are told apart, too.

    Raises:
        InvalidRequest: one of both is missing.
        TooLarge: more than a certificate with its chain and its key.
    """
    if len(text) > _LONGEST_PEM:
        raise TooLarge(f"the PEM text is larger than {_LONGEST_PEM} bytes")
    certificates: list[bytes] = []
    keys: list[bytes] = []
    for block in _BLOCK.finditer(text):
        (keys if block[1].endswith(b"PRIVATE KEY") else certificates).append(block[0] + b"\n")
    if not certificates or not keys:
        missing = "private key" if certificates else "certificate"
        raise InvalidRequest(
            f"there is no {missing} in the PEM text",
            code="push.pem_incomplete",
            fix="give the certificate and its private key, both in PEM",
        )
    return b"".join(certificates), keys[0]


def push_answer(status: PushStatus) -> PushCertificateAnswer:
    """Return `status` on one level."""
    return PushCertificateAnswer(**asdict(status.certificate), last_error=status.last_error)


async def _import_raw(request: web.Request) -> PushStatus:
    query = query_of(request, ImportQuery)
    certificate, key = split_pem(await raw_body_of(request))
    return await services_of(request).push.import_pem(
        certificate, key, replace_topic=query.replace_topic, account=query.account
    )


async def _import_json(request: web.Request) -> PushStatus:
    body = await body_of(request, PushCertificateBody)
    push = services_of(request).push
    if body.pkcs12 is not None:
        return await push.import_pkcs12(
            body.pkcs12, password=body.password, replace_topic=body.replace_topic,
            account=body.account,
        )  # fmt: skip
    if body.certificate is None:
        raise InvalidRequest("give certificate and private_key, or pkcs12", pointer="/certificate")
    if body.private_key is None:
        raise InvalidRequest("the certificate is of no use without its key", pointer="/private_key")
    certificate = _pem(body.certificate, "CERTIFICATE", "/certificate")
    key = _pem(body.private_key, "PRIVATE KEY", "/private_key")
    return await push.import_pem(
        certificate, key, password=body.password, replace_topic=body.replace_topic,
        account=body.account,
    )  # fmt: skip


def _pem(text: str, label: str, pointer: str) -> bytes:
    """Return PEM as it is, and DER in base64 as PEM."""
    if "-----BEGIN" in text:
        return text.encode()
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise InvalidRequest("neither PEM nor DER in base64", pointer=pointer) from error
    return as_pem(der, label)


_PATH = "/api/v1/push-certificate"

operations = (
    Operation(
        method="GET", path=_PATH, handler=show, summary="Show the push certificate",
        answer=PushCertificateAnswer,
    ),
    Operation(
        method="PUT", path=_PATH, handler=replace, scope="admin",
        summary="Import a push certificate", query=ImportQuery, body=PushCertificateBody,
        raw=_PEM_TYPES, answer=PushCertificateAnswer,
    ),
    Operation(
        method="POST", path=f"{_PATH}/test", handler=test, scope="admin",
        summary="Connect to the push service with it", answer=PushTestAnswer,
    ),
)  # fmt: skip
