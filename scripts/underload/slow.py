"""Slow clients by the thousand, and one device that wants its answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from tests.trust.crowd import Line

from .fleets import Rows
from .stage import Stage, Terms, stage

_HEAD = b"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nMdm-Signature: MIAA\r\nContent-Length: 5000\r\n"
_OPENING = 100  # at the same time
_DRIP_SECONDS = 5.0


async def slow(folder: Path, terms: Terms, *, clients: int, seconds: float) -> Rows:
    """A third each is silent before the handshake, in the head, and in the body."""
    async with stage(folder, terms) as on:
        slots = asyncio.Semaphore(_OPENING)
        closed = [0]
        dripping = [
            asyncio.create_task(_drip(on, number % 3, slots, closed)) for number in range(clients)
        ]
        await asyncio.sleep(5)
        waits: list[float] = []
        with on.watched() as watch:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                waits.append(await _visit(on))
                await asyncio.sleep(0.5)
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
        waits.sort()
        return {
            "slow clients": f"{clients}, closed by the server and back again {closed[0]} times",
            "a device waited, median / longest": (
                f"{waits[len(waits) // 2] * 1000:.0f} / {waits[-1] * 1000:.0f} ms"
            ),
            **watch.rows(),
        }


async def _visit(on: Stage) -> float:
    began = time.monotonic()
    line = await Line.open(on.server.port, on.tls)
    answer = await line.ask(on.members[0].report())
    line.close()
    if answer.status != 200:
        raise RuntimeError(f"the device was answered {answer.status}")
    return time.monotonic() - began


async def _drip(on: Stage, kind: int, slots: asyncio.Semaphore, closed: list[int]) -> None:
    """Send a byte now and then; once closed, come back."""
    tls = on.tls if kind else None
    while True:
        with contextlib.suppress(OSError, EOFError):
            async with slots:
                line = await Line.open(on.server.port, tls)
            try:
                line.writer.write((b"\x16", _HEAD, _HEAD + b"\r\n<")[kind])
                while not await line.is_closed(seconds=_DRIP_SECONDS):
                    line.writer.write((b"", b"X", b"p")[kind])
            finally:
                line.close()
        closed[0] += 1
        await asyncio.sleep(1)
