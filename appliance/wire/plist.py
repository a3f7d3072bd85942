"""Property lists: typed access to what a message holds, and a writer."""

from __future__ import annotations

import base64
import plistlib
import re
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar, overload

from appliance.errors import MalformedMessage
from appliance.wire.plain_plist import Value
from appliance.wire.plist_reader import read

__all__ = ["Json", "Plist", "Value", "dumps", "loads", "loads_from_device", "to_json"]

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json]"
T = TypeVar("T")

_MISSING: Final = object()


def loads(data: bytes) -> Plist:
    """Return the dictionary in an XML property list, or raise MalformedMessage; never fetches."""
    return Plist(read(data))


def loads_from_device(data: bytes) -> Plist:
    """Return the same of what a device sent; see `plist_reader.read` for what it may hold more."""
    return Plist(read(data, from_device=True))


def dumps(value: Value | Plist) -> bytes:
    """Return `value` as an XML property list; MalformedMessage if it cannot be one."""
    try:
        return plistlib.dumps(_writable(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"cannot be written as a property list: {error}") from error


def to_json(value: Value | Plist) -> Json:
    """Return `value` for a JSON answer: data as base64, dates as RFC 3339 in UTC."""
    match value:
        case str() | bool() | int() | float():  # nearly all
            return value
        case Plist():
            return to_json(value.value)
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case list():
            return [to_json(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            return value.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


class Plist:
    """A dictionary of a property list, read by key and type; errors name the key."""

    __slots__ = ("_path", "value")

    def __init__(self, value: dict[str, Value], path: str = "") -> None:
        self.value = value
        self._path = path

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plist) and self.value == other.value

    __hash__ = None  # type: ignore[assignment] # as for every mutable mapping

    def __repr__(self) -> str:
        # Values can be tokens and keys that unlock a device; they must not reach a log.
        return f"Plist({', '.join(self.value)})"

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: T) -> str | T: ...
    def text(self, key: str, default: object = _MISSING) -> object:
        """Return a `<string>`."""
        value = self.value.get(key)
        return value if type(value) is str else self._typed(key, str, default)

    @overload
    def data(self, key: str) -> bytes: ...
    @overload
    def data(self, key: str, default: T) -> bytes | T: ...
    def data(self, key: str, default: object = _MISSING) -> object:
        """Return the bytes of a `<data>`."""
        return self._typed(key, bytes, default)

    @overload
    def integer(self, key: str) -> int: ...
    @overload
    def integer(self, key: str, default: T) -> int | T: ...
    def integer(self, key: str, default: object = _MISSING) -> object:
        """Return an `<integer>`."""
        return self._typed(key, int, default)

    @overload
    def real(self, key: str) -> float: ...
    @overload
    def real(self, key: str, default: T) -> float | T: ...
    def real(self, key: str, default: object = _MISSING) -> object:
        """Return a `<real>`, or an `<integer>` as one."""
        if type(self.value.get(key)) is int:
            return float(self.integer(key))
        return self._typed(key, float, default)

    @overload
    def boolean(self, key: str) -> bool: ...
    @overload
    def boolean(self, key: str, default: T) -> bool | T: ...
    def boolean(self, key: str, default: object = _MISSING) -> object:
        """Return a `<true/>` or `<false/>`."""
        return self._typed(key, bool, default)

    @overload
    def date(self, key: str) -> datetime: ...
    @overload
    def date(self, key: str, default: T) -> datetime | T: ...
    def date(self, key: str, default: object = _MISSING) -> object:
        """Return a `<date>`, in UTC."""
        return self._typed(key, datetime, default)

    @overload
    def dictionary(self, key: str) -> Plist: ...
    @overload
    def dictionary(self, key: str, default: T) -> Plist | T: ...
    def dictionary(self, key: str, default: object = _MISSING) -> object:
        """Return a `<dict>`."""
        value = self._typed(key, dict, default)
        return Plist(value, f"{self._path}{key}.") if type(value) is dict else value

    @overload
    def array(self, key: str) -> list[Value]: ...
    @overload
    def array(self, key: str, default: T) -> list[Value] | T: ...
    def array(self, key: str, default: object = _MISSING) -> object:
        """Return the items of an `<array>`."""
        return self._typed(key, list, default)

    def strings(self, key: str) -> list[str]:
        """Return an `<array>` that holds nothing but `<string>`; absent is empty."""
        items = self.array(key, [])
        if not all(type(item) is str for item in items):
            raise MalformedMessage("not an array of strings", key=self._path + key)
        return [item for item in items if type(item) is str]

    def _typed(self, key: str, kind: type, default: object = _MISSING) -> object:
        value = self.value.get(key, _MISSING)
        if type(value) is kind:
            return value
        if value is not _MISSING:
            raise MalformedMessage(f"is not {_KINDS[kind]}", key=self._path + key)
        if default is _MISSING:
            raise MalformedMessage("is missing", key=self._path + key)
        return default


_KINDS: dict[type, str] = {
    str: "a string",
    bytes: "data",
    int: "an integer",
    float: "a real",
    bool: "a boolean",
    datetime: "a date",
    dict: "a dictionary",
    list: "an array",
}


# XML allows them nowhere, but plistlib would write them.
_NOT_XML = re.compile("[\ufffe\uffff]")


def _writable(value: Value | Plist) -> Value:
    """Return `value` as plistlib writes it: dates in UTC, typed readers unwrapped."""
    match value:
        case Plist():
            return _writable(value.value)
        case dict():
            return {key: _writable(item) for key, item in value.items()}
        case list() | tuple():
            return [_writable(item) for item in value]
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)
        case str() if _NOT_XML.search(value):
            raise ValueError("a character that XML does not allow")
        case _:
            return value
