"""A writer for DER, with no opinion: a test can write what no library would."""

from __future__ import annotations

from collections.abc import Iterable

from asn1crypto import core

SEQUENCE = 0x30
SET = 0x31
OCTET_STRING = 0x04
PRINTABLE_STRING = 0x13

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, shortest length, value."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(body).to_bytes(size, "big") + body


def indefinite(tag: int, *parts: bytes) -> bytes:
    """The same with BER's indefinite length, as Apple's devices write it."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of the parts in the given order."""
    return tlv(SEQUENCE, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """SET OF, sorted by encoding as DER demands."""
    return tlv(SET, *sorted(parts))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    return bytes(core.ObjectIdentifier(dotted).dump())


def integer(value: int) -> bytes:
    """INTEGER."""
    return bytes(core.Integer(value).dump())


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(OCTET_STRING, value)


def printable(text: str) -> bytes:
    """PrintableString, whatever the text holds."""
    return tlv(PRINTABLE_STRING, text.encode("latin-1"))


def algorithm(dotted: str, parameters: bytes = b"\x05\x00") -> bytes:
    """AlgorithmIdentifier; NULL parameters unless told otherwise."""
    return sequence(oid(dotted), parameters)
