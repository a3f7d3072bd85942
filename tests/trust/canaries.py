"""Recognizable secrets, and every form in which one of them could be written somewhere."""

from __future__ import annotations

import base64
import json
import os
import string
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

_SHORT = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """Secrets by the way on which they were put into the server."""

    all: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A new one to be typed; its characters need quoting in a URL, and in XML."""
        value = f"cn <&>{os.urandom(9).hex()}"
        self.all[name] = value.encode()
        return value

    def pin(self, name: str) -> str:
        """A new one of six characters."""
        value = "".join(_SHORT[byte % len(_SHORT)] for byte in os.urandom(6))
        self.all[name] = value.encode()
        return value

    def data(self, name: str) -> bytes:
        """A new one of bytes."""
        value = os.urandom(48)
        self.all[name] = value
        return value

    def keep(self, name: str, value: str | bytes) -> None:
        """One that the server made."""
        self.all[name] = value if isinstance(value, bytes) else value.encode()

    def found_in(self, content: bytes) -> list[str]:
        """Names of those that can be read in `content`, in whichever form."""
        joined = b"".join(content.split())  # property lists break base64 into lines
        lower = joined.lower()
        return [
            name
            for name, value in self.all.items()
            if any(form in content for form in _texts(value))
            or any(form in joined for form in _in_base64(value))
            or value.hex().encode() in lower
        ]


def _texts(value: bytes) -> set[bytes]:
    """The secret as it is, and as XML, HTML, JSON, URLs and UTF-16 have it."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {value}
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return {
        value, escaped.encode(), escaped.replace(">", "&gt;").encode(),
        text.encode("utf-16-le"), text.encode("utf-16-be"), quote(text).encode(),
        quote_plus(text).encode(), json.dumps(text)[1:-1].replace("<", "\\u003c").encode(),
    }  # fmt: skip


def _in_base64(value: bytes) -> set[bytes]:
    """In base64 at each of the three offsets; what neighbors decide is left out at both ends."""
    forms = set()
    for text in _texts(value):
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + text)
            inner = encoded[4 if offset else 0 : (offset + len(text)) // 3 * 4]
            forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return {form for form in forms if len(form) >= 7}
