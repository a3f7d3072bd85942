"""The time, in the unit that the store keeps."""

from __future__ import annotations

import time

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now_ms() -> int:
    """Return the time in Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000
