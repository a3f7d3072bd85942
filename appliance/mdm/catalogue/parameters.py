"""From parameters as they arrive in JSON to the `Command` dictionary of a plist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.mdm.catalogue.rules import check_rules
from appliance.mdm.catalogue.spec import KeySpec, command_spec, did_you_mean
from appliance.mdm.catalogue.values import (
    ARTICLES,
    MAX_DEPTH,
    Position,
    anything,
    kind,
    one_of,
    quoted,
    scalar,
    text,
    wrong_type,
)

# Apple: any command may carry it; the schema lists it with none.
COMMON_KEYS = {"RequestRequiresNetworkTether": KeySpec(type="boolean", default=False)}


def build_command(request_type: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `Command` dictionary for a plist, RequestType first.

    Args:
        request_type: one of Apple's, see `catalogue()`.
        parameters: JSON values; data as base64 text or bytes, dates as RFC 3339 text.

    Raises:
        InvalidRequest: codes `command.unknown_request_type` and `command.parameter_missing`,
            `_unknown`, `_type`, `_value`; `pointer` is a JSON pointer into the request.
    """
    spec = command_spec(request_type)
    here = Position()
    if not isinstance(parameters, Mapping):
        wrong_type(KeySpec(type="dictionary"), parameters, here)
    command = _dictionary({**spec.keys, **COMMON_KEYS}, parameters, here)
    check_rules(request_type, command)
    return {"RequestType": request_type, **command}


def _value(key: KeySpec, value: Any, here: Position) -> Any:
    if here.depth > MAX_DEPTH:
        here.refuse("value", f"nested deeper than {MAX_DEPTH} levels")
    match key.type:
        case "dictionary":
            return _object(key, value, here)
        case "array":
            if not isinstance(value, list | tuple):
                wrong_type(key, value, here)
            element = key.element or KeySpec(type="any")
            return [_value(element, item, here.index(i)) for i, item in enumerate(value)]
        case "any":
            return anything(value, here)
        case _:
            if key.variants:
                _variant(key, value, here)
            return scalar(key, value, here)


def _object(key: KeySpec, value: Any, here: Position) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        wrong_type(key, value, here)
    if key.open:
        return {text(name, here): anything(item, here.key(name)) for name, item in value.items()}
    if not key.variants:
        return _dictionary(key.keys, value, here)
    name = value.get(key.selector)
    if name is None:
        here.key(key.selector).refuse("missing", "is required", fix=one_of(key.variants))
    known = _variant(key, name, here.key(key.selector))
    rest = {k: v for k, v in value.items() if k != key.selector}
    return {key.selector: name, **_dictionary(known.keys, rest, here)}


def _dictionary(
    keys: Mapping[str, KeySpec], values: Mapping[str, Any], here: Position
) -> dict[str, Any]:
    for name in values:
        if name not in keys:
            fix = did_you_mean(str(name), keys) or (one_of(keys) if keys else "it has no keys")
            here.key(str(name)[:64]).refuse("unknown", "is not a known key", fix=fix)
    for name, key in keys.items():
        if key.required and name not in values:
            here.key(name).refuse("missing", "is required", fix=f"give {ARTICLES[key.type]}")
    return {
        name: _value(key, values[name], here.key(name))
        for name, key in keys.items()
        if name in values
    }


def _variant(key: KeySpec, name: Any, here: Position) -> KeySpec:
    if not isinstance(name, str):
        here.refuse("type", f"must be a text, not {kind(name)}", fix=one_of(key.variants))
    variant = key.variants.get(name)
    if variant is None:
        fix = did_you_mean(name, key.variants) or one_of(key.variants)
        here.refuse("value", f"{quoted(name)} is not known", fix=fix)
    return variant
