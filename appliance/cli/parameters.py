"""`-p KEY=VALUE` into the parameters of a command."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from appliance.mdm.catalogue import KeySpec, catalogue


def parse_parameters(words: Sequence[str], request_type: str | None) -> dict[str, Any]:
    """Return the parameters that `words` spell.

    VALUE is read as JSON when it parses, else as text; `KEY.SUB=VALUE` nests; a repeated KEY
    makes a list. Where the request type wants a text, `123456` stays one; where it wants a list,
    one value, or what is nested, makes a list of one. Where it wants data, that is base64, and
    `@FILE` reads them from a file.

    Raises:
        click.BadParameter: not of the form, a key that is both a value and a dictionary, a value
            that is nested too deep, or a file that cannot be read.
    """
    spec = catalogue().get(request_type or "")
    keys = spec.keys if spec else {}
    texts: dict[tuple[str, ...], list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        path = tuple(key.split("."))
        if not equals or not all(path):
            raise click.BadParameter(f"{word!r} is not KEY=VALUE", param_hint="-p")
        texts.setdefault(path, []).append(text)
    parameters: dict[str, Any] = {}
    for path, given in texts.items():
        _put(parameters, path, _value(given, _key_spec(keys, path)))
    return {key: _listed(value, keys.get(key)) for key, value in parameters.items()}


def _value(texts: list[str], key: KeySpec | None) -> Any:
    wants_list = key is not None and key.type == "array"
    element = key.element if wants_list and key is not None else key
    values = [_read(text, element) for text in texts]
    if len(values) > 1 or (wants_list and not isinstance(values[0], list)):
        return values
    return values[0]


def _read(text: str, key: KeySpec | None) -> Any:
    if key is not None and key.type == "data" and text.startswith("@"):
        return _base64_of(text[1:])
    try:
        value = json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text
    except RecursionError as error:
        raise click.BadParameter("a value is nested too deep", param_hint="-p") from error
    wants_text = key is not None and key.type in ("string", "data")
    return text if wants_text and not isinstance(value, str | list) else value


def _base64_of(path: str) -> str:
    try:
        return base64.b64encode(Path(path).read_bytes()).decode()
    except OSError as error:
        raise click.BadParameter(
            f"cannot read {path}: {error.strerror}", param_hint="-p"
        ) from error


def _no_number(text: str) -> float:
    """NaN and Infinity are Python's, not JSON's: nobody else could read them."""
    raise ValueError(text)


def _key_spec(keys: Mapping[str, KeySpec], path: tuple[str, ...]) -> KeySpec | None:
    found: KeySpec | None = None
    for name in path:
        found = keys.get(name)
        if found is None:
            return None
        keys = _keys_below(found)
    return found


def _keys_below(key: KeySpec) -> Mapping[str, KeySpec]:
    """Return what may stand in a dictionary, or in those of a list, whichever variant it is."""
    held = key.element or key
    variants = {
        name: one for variant in held.variants.values() for name, one in variant.keys.items()
    }
    return {**variants, **held.keys}


def _listed(value: Any, key: KeySpec | None) -> Any:
    """Put a dictionary into a list where one is wanted."""
    if key is None or not isinstance(value, dict):
        return value
    below = _keys_below(key)
    inner = {name: _listed(one, below.get(name)) for name, one in value.items()}
    return [inner] if key.type == "array" else inner


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
