"""The device's certificate: from `Mdm-Signature`, from TLS, or from a trusted proxy."""

from __future__ import annotations

from ipaddress import ip_network
from urllib.parse import unquote

import pybase64
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.errors import MalformedMessage, NotAuthorized, UnsupportedAlgorithm
from appliance.web.addresses import peer_address, within
from appliance.web.keys import CONFIG
from appliance.wire import cms
from appliance.wire.certificates import load_certificates
from appliance.wire.cms import Signer


def device_certificate(request: web.Request, body: bytes) -> Signer:
    """Return the certificate whose key the sender of `body` has proved to hold.

    Whether that certificate may speak for an enrollment is the services' question.

    Raises:
        NotAuthorized: there is no certificate.
        MalformedMessage, BadSignature, UnsupportedAlgorithm: the signature does not hold.
    """
    signature = request.headers.get("Mdm-Signature")
    if signature is not None:
        return signer_of(signature, body)
    certificate = _tls_certificate(request) or _proxied_certificate(request)
    if certificate is None:
        raise NotAuthorized("the request has neither Mdm-Signature nor a client certificate")
    return cms.signer(certificate)


def claimed_certificate(request: web.Request) -> Signer | None:
    """Return whose certificate comes with a request whose body nobody has read.

    With `Mdm-Signature` that is a claim and no proof. None: there is none, or none to be read.
    """
    signature = request.headers.get("Mdm-Signature")
    try:
        if signature is not None:
            return cms.claimed_signer(_decoded(signature))
        certificate = _tls_certificate(request) or _proxied_certificate(request)
        return None if certificate is None else cms.signer(certificate)
    except (MalformedMessage, UnsupportedAlgorithm):
        return None


def signer_of(signature: str | bytes, body: bytes) -> Signer:
    """Return the certificate whose key made the `Mdm-Signature` of `body`; raises as above."""
    # Apple's devices sign with SHA-1 (seen in captures), so here it must be accepted.
    return cms.verify_detached(_decoded(signature), body, allow_sha1=True)


def _decoded(signature: str | bytes) -> bytes:
    try:
        return pybase64.b64decode(signature, validate=True)
    except ValueError as error:
        raise MalformedMessage("Mdm-Signature is not base64") from error


def _tls_certificate(request: web.Request) -> bytes | None:
    connection = (
        None if request.transport is None else request.transport.get_extra_info("ssl_object")
    )
    der: bytes | None = None if connection is None else connection.getpeercert(binary_form=True)
    return der


def _proxied_certificate(request: web.Request) -> bytes | None:
    """Read RFC 9440 `:base64:` or URL-escaped PEM, from the proxies that we were told of only."""
    server = request.app[CONFIG].server
    value = request.headers.get(server.proxy_header)
    if value is None or not server.trusted_proxies:
        return None
    if not within(peer_address(request), map(ip_network, server.trusted_proxies)):
        return None
    if value.startswith(":") and value.endswith(":"):
        try:
            return pybase64.b64decode(value[1:-1], validate=True)
        except ValueError as error:
            raise MalformedMessage("the proxy's certificate is not base64") from error
    return load_certificates(unquote(value).encode())[0].public_bytes(Encoding.DER)
