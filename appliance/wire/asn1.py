"""The ASN.1 types of CMS and their one decoder; only `wire/` knows `cryptography.hazmat.asn1`.

That module is young, so cryptography is pinned. Two of its rules shape the types below: it is
strict DER, hence `ber2der`; and it refuses a SET OF out of order, hence the sets whose order
peers get wrong are read as lists under their implicit tag or left as `TLV`.

Source: RFC 5652 (CMS), RFC 5280 (certificates), RFC 2986 (certification requests).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, TypeVar

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.asn1 import TLV as TLV
from cryptography.hazmat.asn1 import PrintableString as PrintableString

from appliance.errors import MalformedMessage
from appliance.wire.ber import DEFAULT_LIMIT, ber2der

_Type = TypeVar("_Type")

DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.1")
SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
ENVELOPED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.3")

_ENCODINGS: Mapping[bytes, str] = {
    b"\x0c": "utf-8",  # UTF8String
    b"\x13": "ascii",  # PrintableString
    b"\x14": "latin-1",  # T61String, as everyone but the standard reads it
    b"\x16": "ascii",  # IA5String
    b"\x1e": "utf-16-be",  # BMPString
}

_OWN_NAMES = 8

_DECODE_ERRORS = (ValueError, TypeError, OverflowError)


@asn1.sequence
class AlgorithmIdentifier:
    """NULL or nothing for digests and signatures, the IV for CBC ciphers."""

    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | bytes | None


@asn1.sequence
class Attribute:
    """A signed attribute, or an attribute of a certification request."""

    type: x509.ObjectIdentifier
    values: asn1.SetOf[TLV]


@asn1.sequence
class IssuerAndSerialNumber:
    """Names one certificate."""

    issuer: TLV
    serial_number: int


@asn1.sequence
class SignerInfo:
    """One signature. `signed_attributes` keeps the order in which they were sent."""

    version: int
    signer: IssuerAndSerialNumber | Annotated[bytes, asn1.Implicit(0)]
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Annotated[list[TLV] | None, asn1.Implicit(0)]
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    unsigned_attributes: Annotated[list[TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class EncapsulatedContentInfo:
    """The content type, and the content unless it is detached."""

    content_type: x509.ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class SignedData:
    """RFC 5652, 5.1."""

    version: int
    digest_algorithms: TLV
    encapsulated: EncapsulatedContentInfo
    certificates: Annotated[list[TLV] | None, asn1.Implicit(0)]
    revocation_lists: Annotated[list[TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.SetOf[SignerInfo]


@asn1.sequence
class SignedMessage:
    """ContentInfo around SignedData."""

    content_type: x509.ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class KeyTransRecipientInfo:
    """The content key, encrypted to one certificate."""

    version: int
    recipient: IssuerAndSerialNumber
    key_encryption_algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@asn1.sequence
class EncryptedContentInfo:
    """`encrypted_content` is [0] IMPLICIT, primitive or constructed: a client sends the latter."""

    content_type: x509.ObjectIdentifier
    content_encryption_algorithm: AlgorithmIdentifier
    encrypted_content: TLV


@asn1.sequence
class EnvelopedData:
    """RFC 5652, 6.1."""

    version: int
    originator: Annotated[list[TLV] | None, asn1.Implicit(0)]
    recipient_infos: asn1.SetOf[TLV]
    encrypted: EncryptedContentInfo
    unprotected_attributes: Annotated[list[TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class EnvelopedMessage:
    """ContentInfo around EnvelopedData."""

    content_type: x509.ObjectIdentifier
    content: Annotated[EnvelopedData, asn1.Explicit(0)]


@asn1.sequence
class TbsCertificate:
    """Read for the issuer exactly as encoded, which `x509.Certificate` does not show."""

    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial_number: int
    signature_algorithm: TLV
    issuer: TLV
    validity: TLV
    subject: TLV
    public_key: TLV
    issuer_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class CertificationRequestInfo:
    """The attributes of a certification request exactly as encoded."""

    version: int
    subject: TLV
    public_key: TLV
    attributes: Annotated[list[TLV] | None, asn1.Implicit(0)]


def decode(kind: type[_Type], data: bytes) -> _Type:
    """Return `data` as `kind`; strict DER.

    Raises:
        MalformedMessage: anything else.
    """
    try:
        return asn1.decode_der(kind, data)
    except _DECODE_ERRORS as error:
        raise MalformedMessage("not the expected ASN.1 structure") from error


def decode_message(kind: type[_Type], data: bytes, *, limit: int = DEFAULT_LIMIT) -> _Type:
    """Return `data`, DER or BER of at most `limit` bytes, as `kind`.

    Raises:
        MalformedMessage: too long, or not `kind`.
    """
    if len(data) > limit:
        raise MalformedMessage("the message is too long")
    try:
        return asn1.decode_der(kind, data)
    except _DECODE_ERRORS:
        outer = ber2der(data, limit=limit, thorough=False)
    try:
        return asn1.decode_der(kind, outer)
    except _DECODE_ERRORS:
        return decode(kind, ber2der(data, limit=limit))


def parse(kind: type[_Type], element: TLV) -> _Type:
    """Return one element, already delimited, as `kind`; raises as `decode` does."""
    try:
        value: _Type = element.parse(kind)
    except _DECODE_ERRORS as error:
        raise MalformedMessage("not the expected ASN.1 structure") from error
    return value


def text(element: TLV) -> str:
    """Return the text of any of the string types that clients use for one.

    Raises:
        MalformedMessage: another type, or bytes outside its character set.
    """
    try:
        return bytes(element.data).decode(_ENCODINGS[element.tag_bytes])
    except (KeyError, UnicodeDecodeError) as error:
        raise MalformedMessage("not a character string") from error


def encode(value: object) -> bytes:
    """Return the DER of `value`: one of the types above, or a basic type of the module."""
    return asn1.encode_der(value)


def name_of(certificate: x509.Certificate) -> bytes:
    """Return the DER of the IssuerAndSerialNumber, its issuer exactly as encoded there."""
    tbs = decode(TbsCertificate, certificate.tbs_certificate_bytes)
    return encode(IssuerAndSerialNumber(issuer=tbs.issuer, serial_number=tbs.serial_number))


# For those few certificates whose name is written or looked for again and again.
own_name = lru_cache(maxsize=_OWN_NAMES)(name_of)
