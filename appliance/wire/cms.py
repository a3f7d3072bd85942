"""CMS SignedData, read: verify what devices sign."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appliance.errors import BadSignature, MalformedMessage, UnsupportedAlgorithm
from appliance.wire import asn1, der
from appliance.wire.asn1 import DATA, SIGNED_DATA
from appliance.wire.ber import DEFAULT_LIMIT, LARGEST_LIMIT
from appliance.wire.familiar import Familiar
from appliance.wire.keys import PublicKey, load_public_key
from appliance.wire.signatures import DIGESTS, check_signature

CONTENT_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_TIME = x509.ObjectIdentifier("1.2.840.113549.1.9.5")

_CHANGING = (MESSAGE_DIGEST, SIGNING_TIME)  # from one message of a device to its next

_MAX_CERTIFICATES = 10
_MAX_ATTRIBUTES = 32
_CACHED_CERTIFICATES = 256  # until the shape of its signatures is familiar, with the first
_CACHED_CERTIFICATE_BYTES = 4096  # bounds what strangers can make us keep: 1 MiB


_EXTENSION_ERRORS = (
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The certificate whose key signed. Nothing is said about who issued it, or its dates."""

    certificate: x509.Certificate
    name: bytes  # DER of its IssuerAndSerialNumber
    public_key: PublicKey
    sha256: bytes  # of the certificate's DER
    not_after: int  # Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedContent:
    """A verified message: what was signed, by whom, and what the signer said beside it."""

    content: bytes
    signer: Signer
    digest: str  # sha1, sha256, sha384 or sha512
    signed_attributes: Mapping[x509.ObjectIdentifier, asn1.TLV]  # each has one value
    certificates: tuple[x509.Certificate, ...] = field(default=())  # as embedded, unverified


@dataclass(frozen=True, slots=True)
class _Known:
    """One embedded certificate, read once."""

    name: bytes  # DER of its IssuerAndSerialNumber
    certificate: x509.Certificate
    signer: Signer | None  # None: its key is of a kind that cannot sign here


class _Verified(NamedTuple):
    digest: str
    attributes: Mapping[x509.ObjectIdentifier, asn1.TLV]
    encoded: list[bytes]  # each of them, in the order in which they were sent


def signer(der: bytes) -> Signer:
    """Return the holder of a certificate that has proved its key elsewhere, as in TLS.

    Raises:
        MalformedMessage: not a certificate.
        UnsupportedAlgorithm: a key that is not accepted.
    """
    known = _known(der).signer
    if known is None:
        raise UnsupportedAlgorithm("the certificate's key is not accepted")
    return known


def verify_detached(signature: bytes, content: bytes, *, allow_sha1: bool) -> Signer:
    """Return the signer of `content`.

    Proves possession of the key and nothing more: whether the certificate is ours, unexpired
    and unrevoked is for the caller to ask.

    Args:
        signature: ContentInfo, DER or BER, holding SignedData with exactly one signer, that
            signer's certificate and no content (the `Mdm-Signature` header, base64 removed).
            A copy of `content` inside is tolerated: `openssl cms -stream` always puts one.
        content: the HTTP body byte for byte, before any parsing.

    Raises:
        MalformedMessage: not such a message.
        UnsupportedAlgorithm: a digest, key or signature algorithm that is not accepted.
        BadSignature: the digest or the signature does not match.

    Source: RFC 5652 sections 5.4 (with signedAttrs the signature covers the attributes, so
    messageDigest must be compared as well) and 5.6.
    """
    familiar = _familiar[allow_sha1]
    recognised = familiar.recognise(signature, content)
    if recognised is not None:
        return recognised
    message = _parse(signature, DEFAULT_LIMIT)
    if message.encapsulated.content not in (None, b"", content):
        raise BadSignature("the signature brings other content than was sent")
    info, known = _signer_info(message, _certificates(message))
    verified = _verify(
        message, info, known, content, allow_sha1=allow_sha1, require_attributes=False
    )
    if not message.encapsulated.content:
        _learn(familiar, signature, info, known, verified)
    return known


def claimed_signer(signature: bytes) -> Signer:
    """Return whose certificate a signature brings, for want of what it signs. Nothing is verified.

    Raises:
        MalformedMessage, UnsupportedAlgorithm: as `verify_detached`.
    """
    message = _parse(signature, DEFAULT_LIMIT)
    return _signer_info(message, _certificates(message))[1]


# What was verified where SHA-1 is allowed says nothing about where it is not.
_familiar: Mapping[bool, Familiar[Signer]] = {True: Familiar(), False: Familiar()}


def _learn(
    familiar: Familiar[Signer],
    message: bytes,
    info: asn1.SignerInfo,
    signer: Signer,
    verified: _Verified,
) -> None:
    digest, attributes, encoded = verified
    if encoded != sorted(encoded):  # it may have been signed in another order than sent
        return
    gaps = [bytes(attributes[oid].data) for oid in _CHANGING if oid in attributes]
    body = b"".join(encoded)
    familiar.learn(
        message,
        signer,
        public_key=signer.public_key,
        algorithm=info.signature_algorithm.algorithm,
        digest=digest,
        signature=info.signature,
        attributes=body,
        header=der.set_of(body)[: -len(body)] if body else b"",
        gaps=gaps,
    )


def verify(
    signed: bytes,
    *,
    allow_sha1: bool,
    require_attributes: bool = False,
    limit: int = DEFAULT_LIMIT,
) -> SignedContent:
    """Return the content and signer of a message that carries its content.

    Absent content counts as empty, as in a SCEP failure. See `verify_detached` for what is
    proved and what is raised.

    Args:
        require_attributes: refuse a signature over the bare content. A signature made with
            attributes can be replayed as one over the content that *is* those attributes;
            an endpoint that accepts one form only is safe from that.
    """
    message = _parse(signed, limit)
    embedded = _certificates(message)
    info, known = _signer_info(message, embedded)
    content = message.encapsulated.content or b""
    digest, attributes, _ = _verify(
        message, info, known, content, allow_sha1=allow_sha1, require_attributes=require_attributes
    )
    return SignedContent(
        content=content,
        signer=known,
        digest=digest,
        signed_attributes=attributes,
        certificates=tuple(known.certificate for known in embedded),
    )


def split_certificates(der: bytes, *, limit: int = DEFAULT_LIMIT) -> tuple[x509.Certificate, ...]:
    """Return the certificates that a SignedData carries. Nothing is verified."""
    return tuple(known.certificate for known in _certificates(_parse(der, limit)))


def split_content(der: bytes) -> bytes:
    """Return what a SignedData carries, up to 4 MiB of it. Nothing is verified."""
    content = _parse(der, LARGEST_LIMIT).encapsulated.content
    if content is None:
        raise MalformedMessage("the message carries no content")
    return content


def _parse(der: bytes, limit: int) -> asn1.SignedData:
    message = asn1.decode_message(asn1.SignedMessage, der, limit=limit)
    if message.content_type != SIGNED_DATA:
        raise MalformedMessage("not CMS SignedData")
    return message.content


def _certificates(message: asn1.SignedData) -> list[_Known]:
    embedded = message.certificates or []
    if len(embedded) > _MAX_CERTIFICATES:
        raise MalformedMessage(f"more than {_MAX_CERTIFICATES} certificates in one message")
    return [_known(asn1.encode(certificate)) for certificate in embedded]


def _signer_info(
    message: asn1.SignedData, embedded: list[_Known]
) -> tuple[asn1.SignerInfo, Signer]:
    """Return the only SignerInfo and the certificate that it names."""
    infos = message.signer_infos.as_list()
    if len(infos) != 1:
        raise MalformedMessage("a message must have exactly one signer")
    wanted = infos[0].signer
    for known in embedded:
        if not _names(wanted, known):
            continue
        if known.signer is None:
            raise UnsupportedAlgorithm("the signer's key is of a kind that is not accepted")
        return infos[0], known.signer
    raise MalformedMessage("the signer's certificate is not in the message")


def _names(wanted: asn1.IssuerAndSerialNumber | bytes, known: _Known) -> bool:
    if not isinstance(wanted, bytes):
        return asn1.encode(wanted) == known.name
    try:
        extension = known.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, *_EXTENSION_ERRORS):
        return False
    return extension.value.digest == wanted


def _known(der: bytes) -> _Known:
    if len(der) > _CACHED_CERTIFICATE_BYTES:
        return _read_certificate(der)
    return _cached_certificate(der)


def _read_certificate(der: bytes) -> _Known:
    try:
        certificate = x509.load_der_x509_certificate(der)
        name = asn1.name_of(certificate)
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except (ValueError, TypeError, OverflowError, x509.InvalidVersion) as error:
        raise MalformedMessage("an embedded certificate cannot be read") from error
    key = _signing_key(certificate)
    signer = None
    if key is not None:
        signer = Signer(
            certificate=certificate,
            name=name,
            public_key=key,
            sha256=hashlib.sha256(der).digest(),
            not_after=not_after,
        )
    return _Known(name, certificate, signer)


_cached_certificate = lru_cache(maxsize=_CACHED_CERTIFICATES)(_read_certificate)


def _signing_key(certificate: x509.Certificate) -> PublicKey | None:
    """Return the key if it can verify at bounded cost. The policy for *our* keys is stricter."""
    try:
        key = load_public_key(certificate)
    except UnsupportedAlgorithm:
        return None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 1024 <= key.key_size <= 8192:
        return key if key.public_numbers().e.bit_length() <= 33 else None
    return None


def _verify(
    message: asn1.SignedData,
    info: asn1.SignerInfo,
    signer: Signer,
    content: bytes,
    *,
    allow_sha1: bool,
    require_attributes: bool,
) -> _Verified:
    """Return digest and signed attributes once everything matches."""
    digest = DIGESTS.get(info.digest_algorithm.algorithm)
    if digest is None or (digest == "sha1" and not allow_sha1):
        raise UnsupportedAlgorithm("the message's digest algorithm is not accepted")
    if info.signed_attributes is None:
        if require_attributes or message.encapsulated.content_type != DATA:
            raise BadSignature("the signature must cover signed attributes")
        _check_signature(signer, info, digest, content)
        return _Verified(digest, {}, [])
    attributes = _attributes(info.signed_attributes)
    _check_attributes(attributes, message.encapsulated.content_type, digest, content)
    encoded = [asn1.encode(attribute) for attribute in info.signed_attributes]
    try:
        _check_signature(signer, info, digest, der.set_of(*encoded))
    except BadSignature:
        # DER sorts the set; some signers sign what they send, others only send unsorted.
        if encoded == sorted(encoded):
            raise
        _check_signature(signer, info, digest, der.set_of(*sorted(encoded)))
    return _Verified(digest, attributes, encoded)


def _attributes(elements: list[asn1.TLV]) -> dict[x509.ObjectIdentifier, asn1.TLV]:
    if len(elements) > _MAX_ATTRIBUTES:
        raise MalformedMessage("too many signed attributes")
    attributes: dict[x509.ObjectIdentifier, asn1.TLV] = {}
    for element in elements:
        attribute = asn1.parse(asn1.Attribute, element)
        values = attribute.values.as_list()
        if len(values) != 1 or attribute.type in attributes:
            raise MalformedMessage("a signed attribute must occur once, with one value")
        attributes[attribute.type] = values[0]
    return attributes


def _check_attributes(
    attributes: Mapping[x509.ObjectIdentifier, asn1.TLV],
    content_type: x509.ObjectIdentifier,
    digest: str,
    content: bytes,
) -> None:
    if CONTENT_TYPE not in attributes or MESSAGE_DIGEST not in attributes:
        raise BadSignature("contentType and messageDigest must be among the signed attributes")
    if asn1.parse(x509.ObjectIdentifier, attributes[CONTENT_TYPE]) != content_type:
        raise BadSignature("the signed content type is another")
    if asn1.parse(bytes, attributes[MESSAGE_DIGEST]) != hashlib.new(digest, content).digest():
        raise BadSignature("the content is not what was signed")


def _check_signature(signer: Signer, info: asn1.SignerInfo, digest: str, signed: bytes) -> None:
    algorithm = info.signature_algorithm.algorithm
    check_signature(signer.public_key, algorithm, digest, info.signature, signed)
