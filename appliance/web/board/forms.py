"""A command's form: from the catalogue to fields, and from what was filled in to parameters.

Pure. A field is named by the JSON pointer of its key below `/parameters`, as errors name it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue import KeySpec, lacking
from appliance.mdm.device import DeviceFacts

# Deeper than this a fieldset helps nobody: JSON in a text area does.
_DEEPEST_GROUP = 3
_MOST_ITEMS = 50
COUNT = "count:"


class Kind(StrEnum):
    """How a field is filled in."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    YES_NO = "yes_no"
    CHOICE = "choice"
    DATA = "data"
    DATE = "date"
    LINES = "lines"  # a list of texts, one a line
    CHECKS = "checks"  # a list of texts out of a known set
    JSON = "json"
    GROUP = "group"  # a dictionary: a fieldset
    ITEMS = "items"  # a list of dictionaries: a fieldset each


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One of the possible values; `lacking` tells why this device does not have it."""

    value: str
    chosen: bool
    lacking: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key as a person fills it in."""

    pointer: str
    key: str  # as Apple calls it
    kind: Kind
    required: bool = False
    default: str = ""  # what the device assumes, where Apple says so
    value: str = ""
    options: tuple[Option, ...] = ()
    lacking: str = ""
    fields: tuple[Field, ...] = ()
    variants: tuple[str, ...] = ()  # of a list: what may be added to it

    @property
    def filled(self) -> bool:
        """Whether a person has said something here or below."""
        return bool(
            self.value
            or any(option.chosen for option in self.options if option.value)
            or any(child.filled for child in self.fields)
            or (self.kind is Kind.ITEMS and self.fields)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form as it was sent: every value of every name, and the files."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        """Return every value of a name."""
        return list(self.values.get(name, ()))

    def one(self, name: str) -> str:
        """Return the last value of a name, "" without one."""
        return (self.all(name) or [""])[-1]

    def count(self, pointer: str) -> int:
        """Return how many items of a list there are fieldsets for."""
        text = self.one(COUNT + pointer)
        return min(int(text), _MOST_ITEMS) if text.isascii() and text.isdecimal() else 0


def kind_of(key: KeySpec, depth: int) -> Kind:
    """Return how a key so deep in the command is filled in."""
    match key.type:
        case "array":
            return _kind_of_list(key.element, depth)
        case "dictionary":
            is_open = key.open or not key.keys or depth >= _DEEPEST_GROUP
            return Kind.JSON if is_open else Kind.GROUP
        case "any":
            return Kind.JSON
        case _ if key.allowed:
            return Kind.CHOICE
        case _:
            return _SCALARS[key.type]


def fields_of(
    keys: Mapping[str, KeySpec], filled: Filled, device: DeviceFacts, path: str = "", depth: int = 0
) -> tuple[Field, ...]:
    """Return a field for each key, with what was filled in."""
    return tuple(
        _field(name, key, filled, device, f"{path}/{name}", depth) for name, key in keys.items()
    )


def parameters_of(
    keys: Mapping[str, KeySpec], filled: Filled, path: str = "", depth: int = 0
) -> dict[str, Any]:
    """Return the parameters as the API takes them; what is left empty is left out.

    Values are only read here; `build_command` checks them.

    Raises:
        InvalidRequest: a text that should be JSON is not.
    """
    found = {}
    for name, key in keys.items():
        value = _value(key, filled, f"{path}/{name}", depth)
        if value is not None:
            found[name] = value
    return found


def with_item(filled: Filled, pointer: str, spec: KeySpec | None, variant: str) -> Filled:
    """Return the form with one more fieldset in a list."""
    count = min(filled.count(pointer) + 1, _MOST_ITEMS)
    values = {**filled.values, COUNT + pointer: [str(count)]}
    if spec is not None and spec.selector and variant:
        values[f"{pointer}/{count - 1}/{spec.selector}"] = [variant]
    return replace(filled, values=values)


def without_item(filled: Filled, pointer: str) -> Filled:
    """Return the form without one fieldset of a list; those behind it move up."""
    above, _, index = pointer.rpartition("/")
    if not (index.isascii() and index.isdecimal()) or int(index) >= filled.count(above):
        return filled
    values = {}
    for name, value in filled.values.items():
        moved = _moved(name, above, int(index))
        if moved is not None:
            values[moved] = value
    values[COUNT + above] = [str(filled.count(above) - 1)]
    return replace(filled, values=values)


def _moved(name: str, above: str, gone: int) -> str | None:
    """Return the name of a field when item `gone` is no more, None if it goes with it."""
    mark = COUNT if name.startswith(COUNT) else ""
    index, slash, below = name.removeprefix(mark).removeprefix(f"{above}/").partition("/")
    if not name.removeprefix(mark).startswith(f"{above}/") or not index.isdecimal():
        return name
    if int(index) == gone:
        return None
    number = int(index) - 1 if int(index) > gone else int(index)
    return f"{mark}{above}/{number}{slash}{below}"


_SCALARS = {
    "string": Kind.TEXT,
    "integer": Kind.INTEGER,
    "real": Kind.REAL,
    "boolean": Kind.YES_NO,
    "data": Kind.DATA,
    "date": Kind.DATE,
}


def _kind_of_list(element: KeySpec | None, depth: int) -> Kind:
    if element is None or element.type in ("any", "array"):
        return Kind.JSON
    if element.type == "dictionary":
        is_open = element.open or not (element.keys or element.variants)
        return Kind.JSON if is_open or depth >= _DEEPEST_GROUP else Kind.ITEMS
    return Kind.CHECKS if element.variants or element.allowed else Kind.LINES


def _field(
    name: str, key: KeySpec, filled: Filled, device: DeviceFacts, pointer: str, depth: int
) -> Field:
    kind = kind_of(key, depth)
    fields: tuple[Field, ...] = ()
    if kind is Kind.GROUP:
        fields = fields_of(key.keys, filled, device, pointer, depth + 1)
    elif kind is Kind.ITEMS:
        fields = _items(key, filled, device, pointer, depth)
    has_text = kind not in (Kind.CHECKS, Kind.CHOICE, Kind.YES_NO, Kind.GROUP, Kind.ITEMS)
    return Field(
        pointer=pointer, key=name, kind=kind, required=key.required,
        default=_shown(key.default), value=filled.one(pointer) if has_text else "",
        options=_options(kind, key, filled.all(pointer), device), fields=fields,
        lacking=_why(key, device),
        variants=tuple(key.element.variants) if kind is Kind.ITEMS and key.element else (),
    )  # fmt: skip


def _items(
    key: KeySpec, filled: Filled, device: DeviceFacts, pointer: str, depth: int
) -> tuple[Field, ...]:
    element = key.element
    assert element is not None  # noqa: S101 - or its kind were another
    count = filled.count(pointer)
    if key.required and not element.variants:
        count = max(count, 1)
    items = []
    for index in range(count):
        below = f"{pointer}/{index}"
        chosen = filled.one(f"{below}/{element.selector}") if element.selector else ""
        keys = element.variants[chosen].keys if chosen in element.variants else element.keys
        fields = fields_of(keys, filled, device, below, depth + 2)
        items.append(
            Field(pointer=below, key=element.selector, kind=Kind.GROUP, value=chosen, fields=fields)
        )
    return tuple(items)


def _options(
    kind: Kind, key: KeySpec, chosen: list[str], device: DeviceFacts
) -> tuple[Option, ...]:
    match kind:
        case Kind.YES_NO:
            values = ["true", "false"]
        case Kind.CHOICE:
            values = [_shown(value) for value in key.allowed]
        case Kind.CHECKS if key.element is not None and key.element.variants:
            return tuple(
                Option(value=name, chosen=name in chosen, lacking=_why(spec, device))
                for name, spec in key.element.variants.items()
            )
        case Kind.CHECKS if key.element is not None:
            values = [_shown(value) for value in key.element.allowed]
        case _:
            return ()
    return tuple(Option(value=value, chosen=value in chosen) for value in values)


def _value(key: KeySpec, filled: Filled, pointer: str, depth: int) -> Any:
    """Return what was filled in for one key, None for nothing."""
    text = filled.one(pointer)
    match kind_of(key, depth):
        case Kind.CHECKS:
            return filled.all(pointer) or None
        case Kind.LINES:
            element = key.element or KeySpec(type="string")
            lines = [line.strip() for line in text.splitlines()]
            return [_scalar(element, line) for line in lines if line] or None
        case Kind.JSON:
            return _json(text, pointer) if text.strip() else None
        case Kind.GROUP:
            return parameters_of(key.keys, filled, pointer, depth + 1) or None
        case Kind.ITEMS:
            return _item_values(key, filled, pointer, depth) or None
        case Kind.DATA if filled.files.get(pointer):
            return base64.b64encode(filled.files[pointer]).decode()
        case Kind.TEXT:
            return text or None
        case _:
            return _scalar(key, text.strip()) if text.strip() else None


def _item_values(key: KeySpec, filled: Filled, pointer: str, depth: int) -> list[dict[str, Any]]:
    element = key.element
    assert element is not None  # noqa: S101 - or its kind were another
    values = []
    for index in range(max(filled.count(pointer), 1)):
        below = f"{pointer}/{index}"
        chosen = filled.one(f"{below}/{element.selector}") if element.selector else ""
        keys = element.variants[chosen].keys if chosen in element.variants else element.keys
        value = parameters_of(keys, filled, below, depth + 2)
        values.append({element.selector: chosen, **value} if chosen else value)
    while values and not values[-1]:  # only the last ones: errors count the fieldsets
        values.pop()
    return values


def _scalar(key: KeySpec, text: str) -> Any:
    """Read a text as the type of its key; what cannot be read stays text, and is refused later."""
    if key.allowed:
        return next((value for value in key.allowed if _shown(value) == text), text)
    try:
        match key.type:
            case "integer":
                return int(text)
            case "real":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}.get(text, text)
            case "date":
                return _date(text)
            case _:
                return text
    except ValueError:
        return text


def _date(text: str) -> str:
    """Return what a browser sends of a date and time, which people give in UTC, as RFC 3339."""
    if text.endswith("Z") or "T" not in text:
        return text
    return f"{text}Z" if text.count(":") == 2 else f"{text}:00Z"


def _json(text: str, pointer: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{pointer.rpartition('/')[2]}: is not JSON: {error}",
            code="command.parameter_json",
            pointer=f"/parameters{pointer}",
        ) from error


def _why(key: KeySpec, device: DeviceFacts) -> str:
    return next(iter(lacking(key, device)), "")


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return str(value)
