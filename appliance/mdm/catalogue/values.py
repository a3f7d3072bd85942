"""Single values: from JSON to what a plist carries, and errors that name where they stand."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue.spec import KeySpec

# What plists and XML 1.0 can carry, and a bound on nesting against hostile input.
_INTEGERS = range(-(1 << 63), 1 << 64)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
MAX_DEPTH = 32

ARTICLES = {
    "string": "a text",
    "integer": "an integer",
    "real": "a number",
    "boolean": "true or false",
    "data": "data in base64",
    "date": "a date and time such as 2026-01-31T12:00:00Z",
    "array": "a list",
    "dictionary": "an object",
    "any": "a value",
}


_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "real": (int, float),
    "boolean": (bool,),
    "data": (bytes, str),
    "date": (datetime, str),
}


class Position:
    """Where in the parameters a value stands, for errors that name the key."""

    def __init__(self, path: str = "", pointer: str = "/parameters", depth: int = 0) -> None:
        self.path = path
        self.pointer = pointer
        self.depth = depth

    def key(self, name: str) -> Position:
        """Return the position of a key below this one."""
        escaped = name.replace("~", "~0").replace("/", "~1")  # RFC 6901 section 3
        path = f"{self.path}.{name}" if self.path else name
        return Position(path, f"{self.pointer}/{escaped}", self.depth + 1)

    def index(self, number: int) -> Position:
        """Return the position of an element below this one."""
        return Position(f"{self.path}[{number}]", f"{self.pointer}/{number}", self.depth + 1)

    def refuse(self, aspect: str, problem: str, *, fix: str = "") -> NoReturn:
        """Raise InvalidRequest `command.parameter_<aspect>` about this position."""
        raise InvalidRequest(
            f"{self.path}: {problem}" if self.path else problem,
            code=f"command.parameter_{aspect}",
            pointer=self.pointer,
            fix=fix,
        )


def scalar(key: KeySpec, value: Any, here: Position) -> Any:
    """Return `value` as a plist carries it, or refuse it."""
    # In Python a boolean is an integer; in a plist it is not.
    is_boolean = isinstance(value, bool)
    if not isinstance(value, _ACCEPTED[key.type]) or is_boolean != (key.type == "boolean"):
        wrong_type(key, value, here)
    read = _read(key.type, value, here)
    if key.allowed and read not in key.allowed:
        here.refuse("value", f"{quoted(read)} is not allowed", fix=one_of(key.allowed))
    return read


def anything(value: Any, here: Position) -> Any:
    """Return a value of which Apple promises nothing, if a plist can carry it."""
    if here.depth > MAX_DEPTH:
        here.refuse("value", f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case bool() | bytes():
            return value
        case datetime():
            return _date(value, here)
        case int():
            return _read("integer", value, here)
        case float():
            return _read("real", value, here)
        case str():
            return text(value, here)
        case list() | tuple():
            return [anything(item, here.index(i)) for i, item in enumerate(value)]
        case Mapping():
            return {
                text(name, here): anything(item, here.key(name)) for name, item in value.items()
            }
        case _:
            here.refuse("type", f"a plist cannot carry {kind(value)}", fix="leave it out")


def text(value: Any, here: Position) -> str:
    """Return a text that XML can carry."""
    if not isinstance(value, str):
        here.refuse("type", f"must be a text, not {kind(value)}")
    if _NOT_XML.search(value):
        here.refuse("value", "holds a character that XML cannot carry")
    return value


def wrong_type(key: KeySpec, value: Any, here: Position) -> NoReturn:
    """Refuse a value whose JSON type cannot become the type of its key."""
    fix = one_of(key.allowed) if key.allowed else ""
    here.refuse("type", f"must be {ARTICLES[key.type]}, not {kind(value)}", fix=fix)


def kind(value: Any) -> str:
    """Name the type of a value as a person would."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a text"
        case bytes():
            return "bytes"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def quoted(value: Any) -> str:
    """Show a value in an error, bounded."""
    return repr(value if not isinstance(value, str) else value[:64])


def one_of(names: Iterable[object]) -> str:
    """Name what is allowed; a long list is cut, it is in the catalogue."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - 24} more" if len(listed) > 24 else ""
    return "one of: " + ", ".join(listed[:24]) + more


def _read(type_name: str, value: Any, here: Position) -> Any:
    match type_name:
        case "string":
            return text(value, here)
        case "integer":
            return _integer(value, here)
        case "real":
            return _real(value, here)
        case "data":
            return value if isinstance(value, bytes) else _data(value, here)
        case "date":
            return _date(value, here)
        case _:
            return value


def _integer(value: int, here: Position) -> int:
    if value not in _INTEGERS:
        here.refuse("value", "does not fit in 64 bits")
    return value


def _real(value: float, here: Position) -> float:
    try:
        real = float(value)
    except OverflowError:
        real = math.inf
    if not math.isfinite(real):
        here.refuse("value", "must be a finite number")
    return real


def _data(value: str, here: Position) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        here.refuse("value", "is not base64", fix="encode the bytes in base64")


def _date(value: str | datetime, here: Position) -> datetime:
    """Return a UTC time without zone, as plistlib writes it."""
    if isinstance(value, datetime):
        date = value if value.tzinfo else value.replace(tzinfo=UTC)
    else:
        try:
            date = datetime.fromisoformat(value)
        except ValueError:
            here.refuse("value", "is not a date and time", fix=f"give {ARTICLES['date']}")
        if date.tzinfo is None:
            here.refuse("value", "lacks its time zone", fix="end it with Z")
    try:
        return date.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        here.refuse("value", "is out of range")
