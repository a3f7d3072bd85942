"""Signatures of a familiar shape: what differs between two messages of one device.

A device signs every message with the same certificate and algorithms, so two of its signatures
are the same bytes but for the digest, the signing time and the signature itself. A message that
equals a fully verified one outside these gaps needs no parsing: only its digest and its
signature are checked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cryptography import x509

from appliance.errors import BadSignature
from appliance.wire.keys import PublicKey
from appliance.wire.signatures import check_signature

_MOST_SHAPES = 4096
_MOST_STARTS = 32
_LONGEST = 4096  # bounds what strangers can make us keep: 16 MiB

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Generic[T]):
    """One verified signature with gaps; offsets count from its first byte."""

    holder: T  # whom it belongs to
    public_key: PublicKey
    algorithm: x509.ObjectIdentifier
    digest: str
    attributes: tuple[int, int] | None  # where the signed attributes stand, without their tag
    header: bytes  # the tag and length of the attributes when they are signed
    message_digest: tuple[int, int] | None
    signature: tuple[int, int]
    fixed: tuple[tuple[int, bytes], ...]  # by offset: what follows each gap
    length: int


class Familiar(Generic[T]):
    """Shapes that were verified, found by how they begin.

    When there are too many, one by chance makes room. If it were the oldest, a fleet a little
    larger than this, whose devices come in turn, would find none of its shapes here.
    """

    def __init__(self) -> None:
        self._shapes: dict[bytes, Shape[T]] = {}
        self._kept: list[bytes] = []  # the keys, to choose from
        self._starts: dict[int, None] = {}

    def recognise(self, message: bytes, content: bytes) -> T | None:
        """Return the holder if `message` has a familiar shape and signs `content`.

        None: not familiar. Whatever it says has to be found out by parsing it.

        Raises:
            BadSignature: familiar, but digest or signature do not match.
        """
        for start in tuple(self._starts):  # long messages are learned from in threads
            shape = self._shapes.get(message[:start])
            if shape is not None and _fits(shape, message):
                _check(shape, message, content)
                return shape.holder
        return None

    def learn(
        self,
        message: bytes,
        holder: T,
        *,
        public_key: PublicKey,
        algorithm: x509.ObjectIdentifier,
        digest: str,
        signature: bytes,
        attributes: bytes = b"",
        header: bytes = b"",
        gaps: Sequence[bytes] = (),
    ) -> None:
        """Keep the shape of a message that was verified in full.

        Args:
            attributes: the signed attributes as they were both sent and signed.
            gaps: the values within them that will differ, the message digest first.
        """
        if len(message) > _LONGEST or not signature:
            return
        body = _only(message, attributes) if attributes else None
        found = [_only(message, value) for value in (*gaps, signature)]
        places = [place for place in found if place is not None]
        if len(places) != len(found) or (attributes and body is None):
            return
        shape = Shape(
            holder=holder,
            public_key=public_key,
            algorithm=algorithm,
            digest=digest,
            attributes=body,
            header=header,
            message_digest=places[0] if gaps else None,
            signature=places[-1],
            fixed=_behind(message, sorted(places)),
            length=len(message),
        )
        self._keep(message[: min(place[0] for place in places)], shape)

    def _keep(self, beginning: bytes, shape: Shape[T]) -> None:
        if beginning not in self._shapes:
            if len(self._kept) < _MOST_SHAPES:
                self._kept.append(beginning)
            else:
                place = secrets.randbelow(_MOST_SHAPES)
                self._shapes.pop(self._kept[place], None)
                self._kept[place] = beginning
        if len(self._starts) >= _MOST_STARTS:
            self._starts.pop(next(iter(tuple(self._starts))), None)
        self._shapes[beginning] = shape
        self._starts[len(beginning)] = None


def _fits(shape: Shape[T], message: bytes) -> bool:
    return len(message) == shape.length and all(
        message.startswith(part, offset) for offset, part in shape.fixed
    )


def _check(shape: Shape[T], message: bytes, content: bytes) -> None:
    signed = content
    if shape.attributes is not None and shape.message_digest is not None:
        first, last = shape.message_digest
        if hashlib.new(shape.digest, content).digest() != message[first:last]:
            raise BadSignature("the content is not what was signed")
        first, last = shape.attributes
        signed = shape.header + message[first:last]
    first, last = shape.signature
    check_signature(shape.public_key, shape.algorithm, shape.digest, message[first:last], signed)


def _only(message: bytes, value: bytes) -> tuple[int, int] | None:
    """Return where `value` stands in `message`; None unless it is there exactly once."""
    first = message.find(value)
    if first < 0 or message.find(value, first + 1) >= 0:
        return None
    return first, first + len(value)


def _behind(message: bytes, gaps: list[tuple[int, int]]) -> tuple[tuple[int, bytes], ...]:
    """Return what follows each gap, up to the next one; what is before the first is the key."""
    ends = [first for first, _ in gaps[1:]] + [len(message)]
    return tuple((last, message[last:end]) for (_, last), end in zip(gaps, ends, strict=True))
