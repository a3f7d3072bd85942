"""Codes that people type from a screen or from paper."""

from __future__ import annotations

import re
import secrets

# No vowels and nothing that is easily misread.
_ALPHABET = "23456789BCDFGHJKLMNPQRSTVWXZ"
_GROUP = 4


def new_code(length: int) -> str:
    """Return a random code of `length` letters, in groups: `7KQ4-M2XD-…`; 4.8 bits a letter."""
    return normalise("".join(secrets.choice(_ALPHABET) for _ in range(length)))


def normalise(code: str) -> str:
    """Return a code as it is stored, however a person typed it."""
    letters = re.sub(r"[\s-]", "", code).upper()
    return "-".join(re.findall(f".{{1,{_GROUP}}}", letters))
