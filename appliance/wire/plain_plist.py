"""Reads property lists in the form in which Apple's encoder writes them, without an XML parser.

The form is narrow: a fixed prolog, one element a line, no entities, no attributes, no comments.
Whatever differs from it in any way is not judged here but left to `plist_reader`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

Value: TypeAlias = "str | int | float | bool | bytes | datetime | list[Value] | dict[str, Value]"
Leaves: TypeAlias = Mapping[str, Callable[[str], Value]]  # make the value of an element with text

MAX_DEPTH = 32

APPLE_PROLOG = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"'
    b' "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
)
_START = APPLE_PROLOG + b'<plist version="1.0">\n'
_END = b"</plist>\n"
_LONGEST = 32 * 1024

# What stands for itself in XML: a carriage return and what is no XML character do not.
_TEXT = r"[^<>&\r\x00-\x08\x0b-\x1f\ufffe\uffff]*+"
# A line: perhaps a key, then a leaf with its text, or a tag that opens, closes or is empty. No
# part of the pattern gives back what it took, so its time grows with the length alone.
_LINE = re.compile(
    rf"(?<!\t)\t*+(?:<key>({_TEXT})</key>\n\t*+)?"
    rf"<(?:(string|integer|real|date|data)>({_TEXT})</\2|(/?dict|/?array|(?:true|false|dict|array)/))>\n"
)
_WORDS: Mapping[str, Callable[[], Value]] = {
    "dict": dict, "dict/": dict, "/dict": dict, "array": list, "array/": list, "/array": list,
    "true/": lambda: True, "false/": lambda: False,
}  # fmt: skip


def read_plain(data: bytes, leaves: Leaves) -> dict[str, Value] | None:
    """Return the dictionary in `data`, or None if it takes a closer look.

    What `leaves` raise passes through.
    """
    if len(data) > _LONGEST or not (data.startswith(_START) and data.endswith(_END)):
        return None
    try:
        parts = _LINE.split(data[len(_START) : -len(_END)].decode())
    except UnicodeDecodeError:
        return None
    if any(parts[::5]):  # something between the lines
        return None
    root = _build(zip(parts[1::5], parts[2::5], parts[3::5], parts[4::5], strict=True), leaves)
    return root if type(root) is dict else None


def _build(
    lines: Iterable[tuple[str | None, str | None, str, str]], leaves: Leaves
) -> Value | None:
    """Return the only value that the lines (key, leaf, its text; or a tag) make, None if none."""
    container: Any = []
    stack: list[Any] = []
    for key, leaf, text, tag in lines:
        if leaf is not None:
            value = text if leaf == "string" else leaves[leaf](text)
        elif tag[0] == "/":
            if key is not None or not stack or type(container) is not _WORDS[tag]:
                return None
            container = stack.pop()
            continue
        else:
            value = _WORDS[tag]()
        if type(container) is dict:
            if key is None or key in container:
                return None
            container[key] = value
        elif key is None:
            container.append(value)
        else:
            return None
        if tag == "dict" or tag == "array":
            stack.append(container)
            container = value
            if len(stack) > MAX_DEPTH:
                return None
    return container[0] if not stack and len(container) == 1 else None
