"""Breaks good inputs in the ways that find bugs: the same seed breaks them the same way."""

from __future__ import annotations

import copy
import json
import plistlib
import random
from collections.abc import Callable, Sequence
from typing import Any

# Lengths, tags and characters on which parsers change their mind.
_BYTES = (0x00, 0x01, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xA3, 0xFF, 0x3C, 0x26, 0x22)
_TOKENS: dict[str, tuple[bytes, ...]] = {
    "xml": (
        b"<dict>", b"</dict>", b"<array>", b"</array>", b"<key>", b"</key>", b"<data>", b"</data>",
        b"<string></string>", b"<integer>-9223372036854775809</integer>", b"<real>1e400</real>",
        b"<integer>0x</integer>", b"<date>0000-00-00T00:00:00Z</date>", b"<true/>", b"<plist>",
        b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"&amp;", b"&x;", b"&#0;",
        b"&#xD800;",
        b"<!DOCTYPE plist [<!ENTITY x 'y'>]>", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80",
        b"<key>UDID</key><string>x</string>", b"bplist00", b"<data>====</data>",
    ),
    "der": (
        b"\x30\x80", b"\x00\x00", b"\x24\x80", b"\x04\x00", b"\x05\x00", b"\x30\x00", b"\x31\x00",
        b"\x02\x00", b"\x02\x01\xff", b"\x30\x84\xff\xff\xff\xff", b"\x1f\x81\x00", b"\xa0\x80",
        b"\x06\x01\x80", b"\x03\x01\x08", b"\x17\x00", b"\x13\x01\x00", b"\x0c\x02\xc3\x28",
    ),
    "json": (
        b"{", b"}", b"[", b"]", b"null", b"true", b"-1", b"1e999", b"9" * 400, b'""', b'"\\ud800"',
        b'"\\u0000"', b",", b":", b"[" * 300, b'{"a":' * 300, b"NaN", b'"x":', b"\xff",
    ),
    "text": (b"%", b"%00", b"%ff", b"+", b"=", b"&", b";", b"==", b":", b"-----BEGIN ", b"\n"),
}  # fmt: skip


def mutations(
    seeds: Sequence[bytes], kind: str, dice: random.Random, longest: int = 16 << 10
) -> Callable[[], bytes]:
    """Return a source of broken inputs, each at most `longest` bytes.

    Args:
        kind: `xml`, `der`, `json` or `text`: which tokens are put in.
    """
    damage = _Damage(seeds, _TOKENS[kind], dice)

    def broken() -> bytes:
        seed = dice.choice(seeds)
        if kind in _LANGUAGES and dice.random() < 0.5:  # well-formed, and still nonsense
            return _retyped(seed, *_LANGUAGES[kind], dice)
        data = bytearray(seed)
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 8))):
            damage.once(data)
        return bytes(data[:longest])

    return broken


class _Damage:
    """The ways to damage bytes."""

    def __init__(
        self, seeds: Sequence[bytes], tokens: Sequence[bytes], dice: random.Random
    ) -> None:
        self._seeds, self._tokens, self._dice = seeds, tokens, dice

    def once(self, data: bytearray) -> None:
        """Do one damage, of any kind."""
        at = self._dice.randrange(len(data) + 1)
        self._dice.choice(_WAYS)(self, data, at)

    def token(self, data: bytearray, at: int) -> None:
        data[at : at + self._dice.choice((0, 0, 1, 4, 20))] = self._dice.choice(self._tokens)

    def flip(self, data: bytearray, at: int) -> None:
        data[at : at + 1] = bytes(byte ^ 1 << self._dice.randrange(8) for byte in data[at : at + 1])

    def interesting(self, data: bytearray, at: int) -> None:
        data[at : at + 1] = bytes((self._dice.choice(_BYTES),))

    def neighbour(self, data: bytearray, at: int) -> None:
        step = self._dice.choice((1, -1))
        data[at : at + 1] = bytes(byte + step & 0xFF for byte in data[at : at + 1])

    def cut(self, data: bytearray, at: int) -> None:
        del data[at : at + self._dice.choice((1, 2, 16, len(data)))]

    def repeat(self, data: bytearray, at: int) -> None:
        piece = bytes(data[at : at + self._dice.choice((1, 8, 64, 512))])
        data[at:at] = piece * self._dice.choice((1, 1, 2, 30))

    def splice(self, data: bytearray, at: int) -> None:
        other = self._dice.choice(self._seeds)
        data[at:] = other[self._dice.randrange(len(other) + 1) :]


_WAYS = (
    _Damage.token, _Damage.token, _Damage.flip, _Damage.flip, _Damage.interesting,
    _Damage.neighbour, _Damage.cut, _Damage.repeat, _Damage.splice,
)  # fmt: skip


_ODD: tuple[Any, ...] = (
    "", "x" * 300, "\u202e", "A\nB", "../../x", "'; --", 0, -1, 2**63 - 1, 1.5, True,
    [], {}, [[]], [{}], ["x"], {"x": {}}, [1, "x", {}],
)  # fmt: skip


def _dump_json(value: object) -> bytes:
    return json.dumps(value).encode()


_LANGUAGES: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "xml": (plistlib.loads, plistlib.dumps),
    "json": (json.loads, _dump_json),
}


def _retyped(
    seed: bytes, load: Callable[[bytes], Any], dump: Callable[[Any], bytes], dice: random.Random
) -> bytes:
    """The seed with one or two of its values taken away, renamed or of another type."""
    value = load(seed)
    for _ in range(dice.choice((1, 1, 2))):
        here = value
        while isinstance(here, dict | list) and here:
            place = dice.choice(list(here) if isinstance(here, dict) else range(len(here)))
            inside = here[place]
            if isinstance(inside, dict | list) and inside and dice.random() < 0.6:
                here = inside
                continue
            _replace(here, place, dice)
            break
    return dump(value)


def _replace(container: Any, place: Any, dice: random.Random) -> None:
    match dice.randrange(4):
        case 0:
            del container[place]
        case 1 if isinstance(container, dict):
            container[dice.choice(("x", "", str(place).lower()))] = container.pop(place)
        case _:
            container[place] = copy.deepcopy(dice.choice(_ODD))
