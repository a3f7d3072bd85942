"""Property lists for people: a bounded tree without secrets, and what to copy into a shell."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.errors import MalformedMessage
from appliance.mdm.command import SECRET_KEYS
from appliance.wire import plist
from appliance.wire.plist import Value

_MOST_NODES = 600
_LONGEST_TEXT = 2000
_LONGEST_DATA = 3000  # bytes that are shown as base64

# They say of a message what its page says already.
ENVELOPE = frozenset({"CommandUUID", "UDID", "EnrollmentID", "Status", "ErrorChain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value: `kind` is text, number, yes, no, date, data, list, dictionary, withheld or cut."""

    key: str
    kind: str
    text: str = ""
    size: int = 0  # bytes of data, items of a list
    is_cut: bool = False
    children: tuple[Node, ...] = ()


def read(body: bytes | None) -> dict[str, Value]:
    """Return the dictionary of a stored message, empty if it has none or an earlier release's."""
    if not body:
        return {}
    try:
        return plist.loads_from_device(body).value
    except MalformedMessage:
        return {}


def answer_tree(answer: Mapping[str, Value], *, reveal: bool) -> tuple[Node, ...]:
    """Return what a device answered, without what every answer carries."""
    shown = {key: value for key, value in answer.items() if key not in ENVELOPE}
    return tree(shown, reveal=reveal)


def tree(values: Mapping[str, Any], *, reveal: bool) -> tuple[Node, ...]:
    """Return a tree of at most so many nodes; of hostile answers, the beginning."""
    return tuple(_Builder(reveal=reveal).nodes(values.items()))


class _Builder:
    def __init__(self, *, reveal: bool) -> None:
        self._reveal = reveal
        self._left = _MOST_NODES

    def nodes(self, items: Any) -> Iterator[Node]:
        for key, value in items:
            if self._left <= 0:
                yield Node(key="", kind="cut")
                return
            self._left -= 1
            yield self._node(str(key)[:200], value)

    def _node(self, key: str, value: Any) -> Node:
        if key in SECRET_KEYS and not self._reveal:
            return Node(key=key, kind="withheld")
        match value:
            case bool():
                return Node(key=key, kind="yes" if value else "no")
            case int() | float():
                return Node(key=key, kind="number", text=str(value))
            case datetime():
                return Node(key=key, kind="date", text=f"{value:%Y-%m-%d %H:%M:%S} UTC")
            case bytes():
                text = base64.b64encode(value[:_LONGEST_DATA]).decode()
                is_cut = len(value) > _LONGEST_DATA
                return Node(key=key, kind="data", text=text, size=len(value), is_cut=is_cut)
            case dict():
                children = tuple(self.nodes(value.items()))
                return Node(key=key, kind="dictionary", size=len(value), children=children)
            case list():
                children = tuple(self.nodes(("", item) for item in value))
                return Node(key=key, kind="list", size=len(value), children=children)
            case _:
                text = str(value)
                is_cut = len(text) > _LONGEST_TEXT
                return Node(key=key, kind="text", text=text[:_LONGEST_TEXT], is_cut=is_cut)


def as_cli(target: str, request_type: str, parameters: Mapping[str, Value]) -> str:
    """Return the command line that sends the same command."""
    words = ["appliance", "command", "send", target, request_type]
    for key, value in parameters.items():
        words += ["-p", f"{key}={_word(plist.to_json(value))}"]
    return shlex.join(words)


def as_curl(url: str, target: str, request_type: str, parameters: Mapping[str, Value]) -> str:
    """Return the call of the API that sends the same command, with the token in $TOKEN."""
    body: dict[str, Any] = {"targets": [target], "request_type": request_type}
    if parameters:
        body["parameters"] = {key: plist.to_json(value) for key, value in parameters.items()}
    text = json.dumps(body, ensure_ascii=False)
    return (
        f'curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(text)} \\\n  {shlex.quote(f'{url}/api/v1/commands')}"
    )


def _word(value: Any) -> str:
    """Return a value as `-p` reads it: as JSON where it parses, else as text."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value, ensure_ascii=False)  # "123456" is a text here


def has_secrets(value: Any) -> bool:
    """Tell whether something in an answer is withheld from those who only look."""
    match value:
        case dict():
            return any(key in SECRET_KEYS or has_secrets(item) for key, item in value.items())
        case list():
            return any(has_secrets(item) for item in value)
        case _:
            return False
