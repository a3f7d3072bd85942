"""SCEP messages: read a client's request, answer with a CertRep."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from appliance.errors import BadSignature, MalformedMessage, ScepRefused, UnsupportedAlgorithm
from appliance.wire import asn1, cms, der, signing
from appliance.wire.csr import CertificateRequest, parse_csr
from appliance.wire.envelope import Cipher, open_envelope, seal_envelope

PKCS_REQ = "19"
RENEWAL_REQ = "17"

# failInfo, RFC 8894 section 3.2.1.4.4
BAD_ALG = 0
BAD_MESSAGE_CHECK = 1
BAD_REQUEST = 2
BAD_TIME = 3
BAD_CERT_ID = 4

_CERT_REP = "3"
_SUCCESS = "0"
_FAILURE = "2"

_MESSAGE_TYPE, _PKI_STATUS, _FAIL_INFO, _SENDER_NONCE, _RECIPIENT_NONCE, _TRANSACTION_ID = (
    x509.ObjectIdentifier(f"2.16.840.1.113733.1.9.{number}") for number in range(2, 8)
)

_NONCE_BYTES = 16
_MAX_NONCE_BYTES = 64
_MAX_TRANSACTION_ID = 255

_CAPABILITIES = ("Renewal", "SHA-256", "SHA-512", "AES", "DES3", "SCEPStandard", "POSTPKIOperation")


def capabilities(*, legacy: bool) -> str:
    """Return the answer to GetCACaps: one keyword a line. `legacy` adds SHA-1."""
    words = (_CAPABILITIES[0], "SHA-1", *_CAPABILITIES[1:]) if legacy else _CAPABILITIES
    return "\n".join(words) + "\n"


CAPABILITIES = capabilities(legacy=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pkiMessage whose signature holds; the envelope is still closed.

    Only PKCSReq and RenewalReq can be opened; any other `message_type` is answered with
    `failure(request, BAD_REQUEST, …)`.
    """

    signer: cms.Signer  # self-signed for a first request, our identity for a renewal
    message_type: str
    transaction_id: str
    sender_nonce: bytes
    digest: str
    envelope: bytes = field(repr=False)
    transaction_id_der: bytes = field(repr=False)  # returned verbatim


def parse_request(der: bytes, *, legacy: bool = True) -> Request:
    """Return the request once its signature, over signed attributes, is verified.

    Who the signer is, and whether the challenge is good, is for the caller to ask.

    Args:
        der: pkiMessage, DER or BER, at most 64 KiB.
        legacy: accept SHA-1.

    Raises:
        MalformedMessage: not a pkiMessage; no CertRep can answer it.
        BadSignature: altered on the way, or signed by another key.
        UnsupportedAlgorithm: a digest or key that is not accepted.

    Source: RFC 8894 sections 3.1 and 3.2.
    """
    message = cms.verify(der, allow_sha1=legacy, require_attributes=True)
    attributes = message.signed_attributes
    if not {_MESSAGE_TYPE, _TRANSACTION_ID, _SENDER_NONCE} <= attributes.keys():
        raise MalformedMessage("messageType, transactionID or senderNonce is missing")
    message_type = asn1.parse(asn1.PrintableString, attributes[_MESSAGE_TYPE]).as_str()
    transaction_id = asn1.text(attributes[_TRANSACTION_ID])
    sender_nonce = asn1.parse(bytes, attributes[_SENDER_NONCE])
    if not transaction_id or len(transaction_id) > _MAX_TRANSACTION_ID:
        raise MalformedMessage("the transactionID is empty or too long")
    if len(sender_nonce) > _MAX_NONCE_BYTES:
        raise MalformedMessage("the senderNonce is too long")
    return Request(
        signer=message.signer,
        message_type=message_type,
        transaction_id=transaction_id,
        sender_nonce=sender_nonce,
        digest=message.digest,
        envelope=message.content,
        transaction_id_der=asn1.encode(attributes[_TRANSACTION_ID]),
    )


def open_request(
    request: Request,
    ca_certificate: x509.Certificate,
    ca_key: rsa.RSAPrivateKey,
    *,
    legacy: bool,
) -> tuple[CertificateRequest, Cipher]:
    """Return the certification request inside, and the cipher to answer in.

    Everything that goes wrong after decryption is the same refusal, also that of a wrong
    challenge: the answer must not tell a good guess of the content key from a bad one.

    Args:
        legacy: accept single DES and SHA-1.

    Raises:
        ScepRefused: with the failInfo to answer: badAlg for a cipher or key that is not
            accepted, badRequest for everything else.
    """
    if request.message_type not in (PKCS_REQ, RENEWAL_REQ):
        raise ScepRefused(f"messageType {request.message_type!r} is not served", BAD_REQUEST)
    if not isinstance(request.signer.public_key, rsa.RSAPublicKey):
        raise ScepRefused("the answer could not be encrypted to this kind of key", BAD_ALG)
    try:
        opened = open_envelope(request.envelope, ca_certificate, ca_key, legacy=legacy)
        return parse_csr(opened.content, allow_sha1=legacy), opened.cipher
    except UnsupportedAlgorithm as error:
        raise ScepRefused(error.problem, BAD_ALG) from error
    except (MalformedMessage, BadSignature) as error:
        raise ScepRefused("the request cannot be read", BAD_REQUEST) from error


def seal(request: Request, certificate: bytes, cipher: Cipher) -> bytes:
    """Return the envelope of `certificate` (DER) that only the request's signer can open.

    Raises:
        UnsupportedAlgorithm: the signer's key is not RSA, so nothing can be sealed to it.

    Source: RFC 8894 section 3.2.2.
    """
    return seal_envelope(signing.certs_only([certificate]), request.signer, cipher)


def success(
    request: Request,
    envelope: bytes,
    ca_certificate: x509.Certificate,
    ca_key: rsa.RSAPrivateKey,
) -> bytes:
    """Return the CertRep that delivers what was sealed. Source: RFC 8894 section 3.3.2.1."""
    return _certificate_reply(request, envelope, _SUCCESS, ca_certificate, ca_key)


def failure(
    request: Request,
    fail_info: int,
    ca_certificate: x509.Certificate,
    ca_key: rsa.RSAPrivateKey,
) -> bytes:
    """Return the CertRep that refuses, with one of the `BAD_…` reasons and no content."""
    return _certificate_reply(request, None, _FAILURE, ca_certificate, ca_key, fail_info)


def decode_get_message(raw_query: str) -> bytes:
    """Return the pkiMessage in the query of a GET PKIOperation.

    Args:
        raw_query: the query exactly as received: macOS escapes `=` but leaves `+` bare, which
            every form decoder turns into a space. Missing padding and the URL-safe alphabet
            are accepted.

    Raises:
        MalformedMessage: no `message`, or not base64.
    """
    for parameter in raw_query.split("&"):
        name, _, value = parameter.partition("=")
        if name == "message":
            break
    else:
        raise MalformedMessage("the query has no message")
    text = unquote_to_bytes(value).translate(_STANDARD_ALPHABET, b"\r\n").rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("the message is not base64") from error


# The space is a plus sign that a proxy has already decoded.
_STANDARD_ALPHABET = bytes.maketrans(b"-_ ", b"+/+")


def _certificate_reply(
    request: Request,
    envelope: bytes | None,
    status: str,
    ca_certificate: x509.Certificate,
    ca_key: rsa.RSAPrivateKey,
    fail_info: int | None = None,
) -> bytes:
    attributes = {
        _MESSAGE_TYPE: der.printable(_CERT_REP),
        _PKI_STATUS: der.printable(status),
        _TRANSACTION_ID: request.transaction_id_der,
        _RECIPIENT_NONCE: der.octet_string(request.sender_nonce),
        _SENDER_NONCE: der.octet_string(os.urandom(_NONCE_BYTES)),
    }
    if fail_info is not None:
        attributes[_FAIL_INFO] = der.printable(str(fail_info))
    return signing.sign(
        envelope or b"",
        ca_certificate,
        ca_key,
        digest=request.digest,
        attributes=attributes,
        detached=envelope is None,
    )
