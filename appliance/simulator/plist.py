"""Property lists as a device reads them, with Python's own reader and not the server's."""

from __future__ import annotations

import plistlib
from typing import Any


def loads(content: bytes) -> Any:
    """Return what an XML or binary property list holds; ValueError for anything else."""
    try:
        return plistlib.loads(content)
    except Exception as error:  # plistlib raises whatever its parsers and codecs do
        raise ValueError(f"no property list: {error}") from error
