"""Time limits that hold on a busy machine and on a slow one: the quickest of a few attempts counts.

The limits are meant for a small computer of today. Where Python itself takes longer than there, at
that moment, everything may take as many times longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

ATTEMPTS = 12
PAUSE_SECONDS = 0.2  # what disturbed one attempt shall not disturb all
_TURNS = 1_000_000
_TURNS_SECONDS = 0.05


async def quickest(attempt: Callable[[], Awaitable[None]], *, below: float) -> None:
    """Repeat until one attempt takes less than `below` seconds; AssertionError when none does."""

    async def measured() -> float:
        started = time.monotonic()
        await attempt()
        return time.monotonic() - started

    await shortest(measured, below=below)


async def shortest(measured: Callable[[], Awaitable[float]], *, below: float) -> None:
    """Repeat until one attempt returns less than `below` seconds; AssertionError when none does."""
    tried = []
    for _ in range(ATTEMPTS):
        seconds = await measured()
        if seconds < below or seconds < below * slowness():
            return
        tried.append(seconds)
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError(f"took {min(tried):.3f} s, limit {below} s; {slowness():.1f} times slow")


def slowness() -> float:
    """Return how many times longer than there a loop takes here and now; 1 at least."""
    started, total = time.monotonic(), 0
    for turn in range(_TURNS):
        total += turn
    return max(1.0, (time.monotonic() - started) / _TURNS_SECONDS)
