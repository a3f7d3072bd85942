"""Reads XML property lists that may be hostile: bytes in, plain values or MalformedMessage out.

The reader is our own because nothing unauthenticated may reach `plistlib.loads`, whose binary
parser can be made to allocate gigabytes, and which accepts duplicate keys and broken base64.
"""

from __future__ import annotations

import binascii
import math
import re
from datetime import UTC, datetime
from xml.parsers import expat

from appliance.errors import MalformedMessage
from appliance.wire.plain_plist import APPLE_PROLOG, MAX_DEPTH, Leaves, Value, read_plain

MAX_BYTES = 16 * 1024 * 1024
MAX_TAGS = 500_000  # far above what a list of applications of 4 MiB holds

_CONTROLS = bytes({*range(0x20)} - {*b"\t\n\r"})
_CONTROLS_REPLACED = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_APPLE_START = APPLE_PROLOG + b"<plist"


def read(data: bytes, *, from_device: bool = False) -> dict[str, Value]:
    """Return the dictionary in an XML property list, or raise MalformedMessage.

    Accepts UTF-8 and Apple's usual DOCTYPE line, which is never fetched. Everything else that
    XML allows around a property list (entities, DTD subsets, attributes) is refused.

    Args:
        from_device: also take what Apple's encoder writes although no reader of XML or of dates
            takes it, since a device whose report is refused sends it for ever: control characters
            become "?", dates before or after what `datetime` holds its first or last, and reals
            that are no number their text.
    """
    leaves = _DEVICES_LEAVES if from_device else _LEAVES
    plain = read_plain(data, leaves)
    if plain is not None:
        return plain
    if from_device:
        # As bytes, because none of them is part of another character in UTF-8.
        data = data.translate(_CONTROLS_REPLACED)
        data = data.replace(b"\xef\xbf\xbe", b"?").replace(b"\xef\xbf\xbf", b"?")
    return _read_any(data, leaves)


def _read_any(data: bytes, leaves: Leaves) -> dict[str, Value]:
    if data.startswith(b"bplist"):
        raise MalformedMessage("binary property lists are not accepted, send XML")
    # Expat believes a UTF-16 mark whatever encoding it is told.
    if b"\0" in data:
        raise MalformedMessage("a NUL byte, which UTF-8 XML cannot hold")
    if len(data) > MAX_BYTES:
        raise MalformedMessage(f"the property list is longer than {MAX_BYTES} bytes")
    # Counted before parsing, in C: no message is half read before it turns out too large.
    if data.count(b"<") > MAX_TAGS:
        raise MalformedMessage(f"the property list has more than {MAX_TAGS} tags")
    reader = _Reader(leaves)
    parser = reader.parser()
    if data.startswith(_APPLE_START):
        # What devices send: nothing to check before <plist>, so expat need not read it.
        data, lines = data[len(APPLE_PROLOG) :], 2
    else:
        _watch_prolog(parser)
        lines = 0
    try:
        # One call with everything: fed in pieces, expat re-reads a long token each time.
        parser.Parse(data, True)
    except expat.ExpatError as error:
        problem = f"{expat.ErrorString(error.code)}, line {error.lineno + lines}"
        raise MalformedMessage(f"not well-formed XML: {problem}") from None
    except UnicodeError:
        raise MalformedMessage("not valid UTF-8") from None
    root = reader.root
    if type(root) is not dict:
        raise MalformedMessage("the property list is not a dictionary")
    return root


class _Reader:
    """Builds the value while expat walks the document; holds no reference to its parser."""

    __slots__ = ("container", "key", "leaf", "leaves", "mark", "root", "stack", "text")

    def __init__(self, leaves: Leaves) -> None:
        self.leaves = leaves
        self.root: Value | None = None
        self.stack: list[dict[str, Value] | list[Value] | None] = []
        self.container: dict[str, Value] | list[Value] | None = None
        self.key: str | None = None  # of the entry whose value comes next
        self.leaf: str | None = None  # the open element that may hold text
        # Chunks of text; those before `mark` lie between elements and must be white space.
        self.text: list[str] = []
        self.mark = 0

    def parser(self) -> expat.XMLParserType:
        # Naming the encoding keeps expat from believing a declaration. Interning would cost more
        # than it saves.
        parser = expat.ParserCreate("utf-8", intern=None)
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append
        return parser

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.leaf is not None:
            raise MalformedMessage(f"an element inside <{self.leaf}>")
        if attributes and (tag != "plist" or attributes != {"version": "1.0"}):
            raise MalformedMessage(f"unknown attribute of <{tag[:40]}>")
        if tag in self.leaves:
            self.leaf = tag
            self.mark = len(self.text)
            return
        if tag == "plist" and not self.stack:
            self.stack.append(None)
            return
        if tag != "dict" and tag != "array":
            raise MalformedMessage(f"unknown element <{tag[:40]}>")
        container: dict[str, Value] | list[Value] = {} if tag == "dict" else []
        self.add(container)
        self.stack.append(self.container)
        if len(self.stack) > MAX_DEPTH + 1:  # <plist> is not a level
            raise MalformedMessage(f"nested more than {MAX_DEPTH} levels deep")
        self.container = container

    def end(self, _tag: str) -> None:
        leaf = self.leaf
        if leaf is None:
            self.leave_container()
            return
        self.leaf = None
        chunks = self.text
        if len(chunks) == self.mark + 1:
            text = chunks.pop()
        else:
            text = "".join(chunks[self.mark :])
            del chunks[self.mark :]
        if leaf == "key":
            if type(self.container) is not dict or self.key is not None:
                raise MalformedMessage("a key where a value belongs")
            if text in self.container:
                raise MalformedMessage("appears twice", key=text[:255])
            self.key = text
        else:
            self.add(text if leaf == "string" else self.leaves[leaf](text))

    def leave_container(self) -> None:
        between = "".join(self.text)
        # Of what counts as a space in ASCII, XML itself allows white space only.
        if between and not (between.isascii() and between.isspace()):
            raise MalformedMessage("text between elements")
        self.text.clear()
        if self.key is not None:
            raise MalformedMessage("has no value", key=self.key[:255])
        self.container = self.stack.pop()

    def add(self, value: Value) -> None:
        """Put a value where it belongs."""
        container = self.container
        if type(container) is dict:
            if self.key is None:
                raise MalformedMessage("a value without a key")
            container[self.key] = value
            self.key = None
        elif type(container) is list:
            container.append(value)
        elif self.stack and self.root is None:
            self.root = value
        else:
            raise MalformedMessage("not exactly one value in one <plist>")


def _watch_prolog(parser: expat.XMLParserType) -> None:
    parser.XmlDeclHandler = _declaration
    parser.StartDoctypeDeclHandler = _doctype
    # After an external DOCTYPE expat would pass over undeclared entities in silence.
    parser.SkippedEntityHandler = _entity


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() != "utf-8":
        raise MalformedMessage("the encoding is not UTF-8")


def _doctype(name: str, system: str | None, public: str | None, has_subset: int) -> None:
    if has_subset:
        raise MalformedMessage("a DTD subset is not accepted")
    if name == "plist" and system is None and public is None:
        return
    apple = system is not None and _APPLE_DTD.fullmatch(system) is not None
    if name != "plist" or not apple or public not in _APPLE_PUBLIC_IDS:
        raise MalformedMessage("the DOCTYPE is not Apple's")


def _entity(name: str, _is_parameter: bool) -> None:
    raise MalformedMessage(f"undeclared entity &{name[:40]};")


_APPLE_PUBLIC_IDS = ("-//Apple//DTD PLIST 1.0//EN", "-//Apple Computer//DTD PLIST 1.0//EN")
_APPLE_DTD = re.compile(r"https?://www\.apple\.com/DTDs/PropertyList-1\.0\.dtd")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}")
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]{1,16}")
_REAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_REAL_LENGTH = 400
_NO_NUMBERS = ("nan", "+infinity", "-infinity", "infinity")
_FAR_DATE = re.compile(r"(0000|-[0-9]{1,12}|[0-9]{5,12})-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", re.ASCII)


def _integer(text: str) -> int:
    if _DECIMAL.fullmatch(text):
        number = int(text)
    elif _HEXADECIMAL.fullmatch(text):
        number = int(text, 16)
    else:
        raise MalformedMessage("an <integer> is not a number")
    if not -(2**63) <= number < 2**64:
        raise MalformedMessage("an <integer> does not fit 64 bits")
    return number


def _real(text: str) -> float:
    if len(text) <= _REAL_LENGTH and _REAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    raise MalformedMessage("a <real> is not a number")


def _date(text: str) -> datetime:
    if parts := _DATE.fullmatch(text):
        try:
            year, month, day, hour, minute, second = map(int, parts.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            pass
    raise MalformedMessage("a <date> is not YYYY-MM-DDThh:mm:ssZ")


def _devices_real(text: str) -> float | str:
    return text if text in _NO_NUMBERS else _real(text)


def _devices_date(text: str) -> datetime:
    far = _FAR_DATE.fullmatch(text)
    if far is None:
        return _date(text)
    is_past = far[1] == "0000" or far[1].startswith("-")  # NSDate.distantPast is of the year 0
    return (datetime.min if is_past else datetime.max).replace(microsecond=0, tzinfo=UTC)


def _data(text: str) -> bytes:
    """Decode strictly, but for the number of `=` at the end: captured messages get it wrong,
    and a device whose report is refused sends it for ever.
    """
    try:
        packed = text.encode("ascii").translate(None, b" \t\r\n")
        if len(packed) % 4:
            bare = packed.rstrip(b"=")
            if bare and len(packed) - len(bare) in (1, 2):
                packed = bare + b"=" * (-len(bare) % 4)
        if len(packed) % 4:
            raise ValueError("odd padding")
        return binascii.a2b_base64(packed, strict_mode=True)
    except ValueError:
        raise MalformedMessage("a <data> is not base64") from None


def _empty(text: str) -> None:
    if text:
        raise MalformedMessage("a <true/> or <false/> with content")


def _true(text: str) -> bool:
    _empty(text)
    return True


def _false(text: str) -> bool:
    _empty(text)
    return False


_LEAVES: Leaves = {
    "string": str,
    "key": str,
    "integer": _integer,
    "real": _real,
    "date": _date,
    "data": _data,
    "true": _true,
    "false": _false,
}
_DEVICES_LEAVES: Leaves = {**_LEAVES, "real": _devices_real, "date": _devices_date}
