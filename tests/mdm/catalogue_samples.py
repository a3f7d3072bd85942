"""Sample parameters for every request type, built from the catalogue itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from appliance.mdm.catalogue import CommandSpec, KeySpec

# Keys that exclude each other; every other key of a command is in its sample.
LEFT_OUT = {"InstallApplication": {"iTunesStoreID", "ManifestURL"}}
# Where a rule beyond the schema narrows the value.
FITTING = {
    "PIN": "123456",
    "ManifestURL": "https://mdm.example/manifest.plist",
    "ScanTime": 30,
}


def sample_parameters(spec: CommandSpec) -> dict[str, Any]:
    """Return parameters with every key that may stand together, the same at every call."""
    keys = {
        name: key
        for name, key in spec.keys.items()
        if name not in LEFT_OUT.get(spec.request_type, set())
    }
    return _dictionary(keys)


def _dictionary(keys: Mapping[str, KeySpec]) -> dict[str, Any]:
    return {name: FITTING.get(name) or _value(name, key) for name, key in keys.items()}


def _value(name: str, key: KeySpec) -> Any:
    if key.allowed:
        return key.allowed[-1]
    match key.type:
        case "string":
            return f"a {name}"
        case "integer":
            return len(name)
        case "real":
            return len(name) / 2
        case "boolean":
            return not key.default
        case "data":
            return base64.b64encode(name.encode()).decode("ascii")
        case "date":
            return "2026-01-31T12:00:00Z"
        case "array":
            return _array(name, key)
        case "dictionary" if not key.open:
            return _dictionary(key.keys)
        case _:
            return {"key": [1, 2.5, True, name]}


def _array(name: str, key: KeySpec) -> list[Any]:
    element = key.element
    assert element is not None
    if element.selector:
        return [
            {element.selector: item, **_dictionary(variant.keys)}
            for item, variant in element.variants.items()
        ]
    if element.variants:
        return list(element.variants)
    return [_value(name, element)]
