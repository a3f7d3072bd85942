"""`-p KEY=VALUE` into the parameters of a command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from appliance.mdm.catalogue import KeySpec, catalogue


def parse_parameters(words: Sequence[str], request_type: str | None) -> dict[str, Any]:
    """Return the parameters that `words` spell.

    VALUE is read as JSON when it parses, else as text; `KEY.SUB=VALUE` nests; a repeated KEY
    makes a list. Where the request type wants a text, `123456` stays one; where it wants a list,
    one value makes a list of one.

    Raises:
        click.BadParameter: not of the form, or a key that is both a value and a dictionary.
    """
    spec = catalogue().get(request_type or "")
    texts: dict[tuple[str, ...], list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        path = tuple(key.split("."))
        if not equals or not all(path):
            raise click.BadParameter(f"{word!r} is not KEY=VALUE", param_hint="-p")
        texts.setdefault(path, []).append(text)
    parameters: dict[str, Any] = {}
    for path, given in texts.items():
        _put(parameters, path, _value(given, _key_spec(spec.keys if spec else {}, path)))
    return parameters


def _value(texts: list[str], key: KeySpec | None) -> Any:
    wants_list = key is not None and key.type == "array"
    element = key.element if wants_list and key is not None else key
    values = [_read(text, element) for text in texts]
    if len(values) > 1 or (wants_list and not isinstance(values[0], list)):
        return values
    return values[0]


def _read(text: str, key: KeySpec | None) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    wants_text = key is not None and key.type == "string"
    return text if wants_text and not isinstance(value, str | list) else value


def _key_spec(keys: Mapping[str, KeySpec], path: tuple[str, ...]) -> KeySpec | None:
    found: KeySpec | None = None
    for name in path:
        found = keys.get(name)
        if found is None:
            return None
        keys = found.keys
    return found


def _put(parameters: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    target = parameters
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise click.BadParameter(f"{name} is a value already", param_hint="-p")
    if last in target:
        raise click.BadParameter(f"{'.'.join(path)} is a dictionary already", param_hint="-p")
    target[last] = value
