"""BER to DER, bounded: Apple devices and `openssl cms -stream` send indefinite lengths."""

from __future__ import annotations

from appliance.errors import MalformedMessage

DEFAULT_LIMIT = 64 * 1024
LARGEST_LIMIT = 4 * 1024 * 1024

# A certificate inside SignedData is nine levels deep. The element limit bounds the time.
_MAX_DEPTH = 16
_MAX_ELEMENTS = 4_096
_BYTES_PER_ELEMENT = 512  # of a long message; `openssl cms -stream` makes pieces of 1 KiB and more
_MAX_LENGTH_BYTES = 4

_CONSTRUCTED = 0x20
_UNIVERSAL = 0xC0
_OCTET_STRING = 0x04
_SEQUENCE = 0x30
_SET = 0x31
_INDEFINITE = -1

# What may be copied unseen; anything else could be a constructed octet string.
_COPIED = (_SEQUENCE, _SET, 0xA0, 0xA1)


def ber2der(data: bytes, *, limit: int = DEFAULT_LIMIT, thorough: bool = True) -> bytes:
    """Return `data` with definite, shortest lengths and its octet strings in one piece.

    Tags, values and the order of SET OF elements stay as they are: what lies inside may be
    signed as it was sent (certificates, attributes), so nothing is sorted. Values are not
    looked into; the DER parser that follows does that.

    Args:
        thorough: look into elements of definite length as well. Without it they are copied,
            which is ten times faster and enough for what devices send: only the outer levels
            are indefinite there.

    Raises:
        MalformedMessage: longer than `limit`, deeper than 16 levels, more than 4,096
            elements (8,192 where `limit` is 4 MiB), trailing bytes, or not BER.

    Source: X.690 sections 8.1.3 (lengths), 8.7.3 (constructed octet strings), 10.1, 10.2.
    """
    if len(data) > min(limit, LARGEST_LIMIT):
        raise MalformedMessage("the message is too long")
    most = max(_MAX_ELEMENTS, limit // _BYTES_PER_ELEMENT)
    converter = _Converter(data, most, thorough=thorough)
    der, end = converter.element(0, len(data), 1)
    if end != len(data):
        raise MalformedMessage("bytes follow the message")
    return der


def join_octet_strings(pieces: bytes) -> bytes:
    """Return the octets of a constructed octet string.

    Args:
        pieces: its value as `ber2der` leaves it: primitive octet strings in DER, one after
            the other.
    """
    octets: list[bytes] = []
    offset = 0
    while offset < len(pieces):
        tag, length, start = _read_header(pieces, offset, len(pieces))
        if tag != _OCTET_STRING or length == _INDEFINITE:
            raise MalformedMessage("a constructed octet string holds something else")
        offset = start + length
        octets.append(pieces[start:offset])
    return b"".join(octets)


def header(tag: int, length: int) -> bytes:
    """Return the identifier and length octets of a DER element with a one-byte `tag`."""
    if length < 0x80:
        return bytes((tag, length))
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big")


class _Converter:
    """One pass over one message; offsets never move backwards, so time is linear."""

    def __init__(self, data: bytes, most: int, *, thorough: bool) -> None:
        self._data = data
        self._most = most
        self._thorough = thorough
        self._elements = 0

    def element(self, start: int, limit: int, depth: int) -> tuple[bytes, int]:
        """Return the DER of the element at `start` and the offset behind it."""
        self._elements += 1
        if self._elements > self._most:
            raise MalformedMessage("the message has too many elements")
        tag, length, offset = _read_header(self._data, start, limit)
        primitive = not tag & _CONSTRUCTED
        if primitive and length == _INDEFINITE:
            raise MalformedMessage("a primitive element without a length")
        if primitive or (length != _INDEFINITE and not self._thorough and tag in _COPIED):
            end = offset + length
            return header(tag, length) + self._data[offset:end], end
        if depth >= _MAX_DEPTH:
            raise MalformedMessage("the message is nested too deeply")
        return self._constructed(tag, length, offset, limit, depth)

    def _constructed(
        self, tag: int, length: int, offset: int, limit: int, depth: int
    ) -> tuple[bytes, int]:
        end = limit if length == _INDEFINITE else offset + length
        children: list[bytes] = []
        while True:
            if length == _INDEFINITE:
                if self._data[offset : offset + 2] == b"\0\0" and offset + 2 <= end:
                    offset += 2
                    break
            elif offset == end:
                break
            child, offset = self.element(offset, end, depth + 1)
            children.append(child)
        if tag == _OCTET_STRING | _CONSTRUCTED:
            value = join_octet_strings(b"".join(children))
            return header(_OCTET_STRING, len(value)) + value, offset
        if not tag & _UNIVERSAL and tag not in (_SEQUENCE, _SET):
            raise MalformedMessage("a constructed string that is not an octet string")
        value = b"".join(children)
        return header(tag, len(value)) + value, offset


def _read_header(data: bytes, start: int, limit: int) -> tuple[int, int, int]:
    """Return tag, length (or `_INDEFINITE`) and the offset of the value."""
    if limit - start < 2:
        raise MalformedMessage("the message ends within an element")
    tag, length = data[start], data[start + 1]
    if tag & 0x1F == 0x1F or tag == 0:
        raise MalformedMessage("an element with a tag that CMS does not use")
    offset = start + 2
    if length == 0x80:
        return tag, _INDEFINITE, offset
    if length > 0x80:
        size = length & 0x7F
        if size > _MAX_LENGTH_BYTES or offset + size > limit:
            raise MalformedMessage("an element with an unusable length")
        length = int.from_bytes(data[offset : offset + size], "big")
        offset += size
    if length > limit - offset:
        raise MalformedMessage("an element is longer than the message")
    return tag, length, offset
