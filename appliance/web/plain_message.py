"""Takes a device's message out of the bytes of one connection, if it has the usual form.

A narrow part of HTTP/1.1 (RFC 9112): no field twice, no line folded, nothing but visible ASCII and
spaces, a length, and none of the fields that would change how the body or the answer is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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

    start: bytes  # the request line
    content_type: str
    signature: bytes  # base64; empty without Mdm-Signature
    body: bytes
    is_whole: bool  # or the end of the body has not arrived


def read_plain_message(
    data: bytes, starts: Mapping[bytes, bool], longest: int
) -> PlainMessage | None:
    """Return the one message that `data` is or begins, None if it is anything else.

    Args:
        starts: the request lines that may begin it, and whether a signature goes with each. A
            signature is not looked at here: whoever takes one decodes it strictly.
        longest: the most bytes of a body.
    """
    at = max(0, data.find(_SIGNATURE, 0, _LONGEST_HEAD))
    # One byte is found much faster than two.
    until = data.find(b"\r", at + 2, _LONGEST_HEAD) if at else 0
    end = data.find(b"\r\n\r\n", until, _LONGEST_HEAD) if until >= 0 else -1
    if end < 0 or end - (until - at) > _LONGEST_REST:
        return None
    head = _read_head(data[:at] + data[until:end])
    if head is None or starts.get(head.start) is not bool(at) or head.length > longest:
        return None
    body = data[end + 4 :]
    if len(body) > head.length:
        return None
    signature = data[at + len(_SIGNATURE) : until] if at else b""
    is_whole = len(body) == head.length
    return PlainMessage(head.start, head.content_type, signature, body, is_whole)


class _Head(NamedTuple):
    start: bytes
    content_type: str
    length: int


@lru_cache(maxsize=_MOST_HEADS)
def _read_head(head: bytes) -> _Head | None:
    """Return what counts of a head, which is without its signature."""
    start, *lines = head.split(b"\r\n")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None or match[1].lower() in fields:
            return None
        fields[match[1].lower()] = match[2].rstrip(b" \t")
    length = fields.get(b"content-length", b"0" if start.startswith(b"GET ") else b"")
    is_usual = (
        _LENGTH.fullmatch(length)
        and b"host" in fields
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and not fields.keys() & _UNUSUAL
    )
    content_type = fields.get(b"content-type", b"").decode()
    return _Head(start, content_type, int(length)) if is_usual else None
