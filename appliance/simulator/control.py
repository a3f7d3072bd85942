"""Reads the orders of a parent process: JSON lines on a pipe, whose end means stop at once."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

_LONGEST_LINE = 1024 * 1024


async def orders(descriptor: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the orders that arrive on a file descriptor until its end.

    A thread reads it: a pipe, a file and a terminal all work, and nothing waits for the thread.
    A line that is no JSON object is given as `{"do": "?"}`.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        pending = b""
        while chunk := _read(descriptor):
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            if len(pending) > _LONGEST_LINE:
                break
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="orders", daemon=True).start()
    while (line := await lines.get()) is not None:
        if line.strip():
            yield _order(line)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is gone
        return b""


def _order(line: bytes) -> dict[str, Any]:
    try:
        order = json.loads(line)
    except ValueError:
        return {"do": "?"}
    return order if isinstance(order, dict) else {"do": "?"}
