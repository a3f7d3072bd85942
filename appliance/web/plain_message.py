"""Takes a device's message out of the bytes of one connection, if it has the usual form.

A narrow part of HTTP/1.1 (RFC 9112): no field twice, no line folded, nothing but visible ASCII and
spaces, a length, and none of the fields that would change how the body or the answer is sent.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache
from typing import NamedTuple

_SIGNATURE = b"\r\nMdm-Signature: "
# Possessive: whatever a stranger sends is read once.
_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]++):[ \t]*+([ \t!-~]*+)")
_LENGTH = re.compile(rb"[0-9]{1,7}")
_UNUSUAL = frozenset({
    b"content-encoding", b"expect", b"mdm-signature", b"transfer-encoding", b"upgrade",
})  # fmt: skip
_LONGEST_HEAD = 64 * 1024
# Two messages of one device differ in their heads by the signature and perhaps the length, so the
# rest is understood once. The bounds keep what strangers can make us remember at 1 MiB.
_MOST_HEADS = 1024
_LONGEST_REST = 1024


class PlainMessage(NamedTuple):
    """A message as it came."""

    content_type: str
    signature: bytes  # base64
    body: bytes
    is_whole: bool  # or the end of the body has not arrived


def read_plain_message(data: bytes, starts: Set[bytes], longest: int) -> PlainMessage | None:
    """Return the one message that `data` is or begins, None if it is anything else.

    Args:
        starts: the request lines that may begin it.
        longest: the most bytes of a body.
    """
    at = data.find(_SIGNATURE, 0, _LONGEST_HEAD)
    until = data.find(b"\r", at + 2, _LONGEST_HEAD)  # one byte is found much faster than two
    end = data.find(b"\r\n\r\n", until, _LONGEST_HEAD)
    if at < 0 or until < 0 or end < 0:
        return None
    head = _read_head(data[:at] + data[until:end]) if end - (until - at) <= _LONGEST_REST else None
    if head is None or head[0] not in starts or head[2] > longest:
        return None
    signature = data[at + len(_SIGNATURE) : until]
    missing = end + 4 + head[2] - len(data)
    return PlainMessage(head[1], signature, data[end + 4 :], missing == 0) if missing >= 0 else None


@lru_cache(maxsize=_MOST_HEADS)
def _read_head(head: bytes) -> tuple[bytes, str, int] | None:
    """Return request line, content type and length of a head without its signature."""
    start, *lines = head.split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None or match[1].lower() in fields:
            return None
        fields[match[1].lower()] = match[2].rstrip(b" \t")
    length = fields.get(b"content-length", b"")
    is_usual = (
        _LENGTH.fullmatch(length)
        and b"host" in fields
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and not fields.keys() & _UNUSUAL
    )
    return (start, fields.get(b"content-type", b"").decode(), int(length)) if is_usual else None
