"""The response keys of Apple's schema, and whether a value has them.

A shape is a type name, `[shape]` for an array, or a dictionary; the key "*" stands for any name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT.parent / "shared" / "apple-schema" / "mdm" / "commands"
GOLDEN = ROOT / "tests" / "golden" / "responses.json"
_TYPES = {
    "string": (str,),
    "integer": (int,),
    "real": (float, int),
    "boolean": (bool,),
    "data": (bytes,),
    "date": (datetime,),
}
# Where Apple's schema says something else than every device does.
_CORRECTIONS: Mapping[str, Mapping[str, Any]] = {
    "Settings": {
        "Settings": [{"Status": "string", "ErrorChain": [{"*": "any"}], "Identifier": "string"}]
    },
}


def golden() -> dict[str, dict[str, Any]]:
    """Return the response keys by request type."""
    shapes: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())
    return shapes


def derived() -> dict[str, dict[str, Any]]:
    """Return the same from Apple's schema."""
    shapes = {}
    for path in sorted(SCHEMA.glob("*.yaml")):
        command = yaml.safe_load(path.read_text())
        request_type = command["payload"]["requesttype"]
        shapes[request_type] = _dictionary(command.get("responsekeys") or [])
        shapes[request_type] |= _CORRECTIONS.get(request_type, {})
    return dict(sorted(shapes.items()))


def _dictionary(keys: list[dict[str, Any]]) -> dict[str, Any]:
    return {_name(key): _shape(key) for key in keys}


def _name(key: dict[str, Any]) -> str:
    name: str = key["key"]
    return "*" if name.startswith("ANY") or name == "Category Name" else name


def _shape(key: dict[str, Any]) -> Any:
    kind, subkeys = key["type"].strip("<>"), key.get("subkeys") or []
    if kind == "array":
        return [_shape(subkeys[0])] if subkeys else ["any"]
    if kind == "dictionary":
        return _dictionary(subkeys) if subkeys else {"*": "any"}
    return kind


def problems(value: Any, shape: Any, where: str = "") -> Iterator[str]:
    """Yield what about `value` is not as `shape` says."""
    if shape == "any":
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is no array"
            return
        for number, item in enumerate(value):
            yield from problems(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        yield from _problems_of_dictionary(value, shape, where)
    elif type(value) not in _TYPES[shape]:
        yield f"{where} is {type(value).__name__}, not {shape}"


def _problems_of_dictionary(value: Any, shape: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no dictionary"
        return
    for key, item in value.items():
        if key in shape or "*" in shape:
            yield from problems(item, shape.get(key, shape.get("*")), f"{where}/{key}")
        else:
            yield f"{where}/{key} is not in Apple's schema"
