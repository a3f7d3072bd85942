"""Pushes per second: our sender on its core, the tests' APNs in a process on the other."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from appliance.apns import Accepted, PushSender, PushTarget, push_ssl_context

from . import peers
from .fixtures import TOPIC
from .load import BenchError
from .table import Sample

_PUSHES = 4_000  # a round
_WORKERS = 500
_EXPIRES_IN_SECONDS = 3600


async def measure(folder: Path, *, rounds: int) -> dict[str, list[Sample]]:
    """The rate of accepted pushes, all over connections that are open already."""
    folder.mkdir()
    port = peers.free_port()
    program = [sys.executable, "-m", "scripts.benchmarks.apns", "--directory", str(folder)]
    arguments = [*program, "--port", str(port), "--topic", TOPIC]
    with peers.started(arguments, port, folder, core=peers.LOAD_CORE):
        os.sched_setaffinity(0, {peers.SERVER_CORE})
        try:
            samples = await _rounds(port, folder, rounds)
        finally:
            os.sched_setaffinity(0, {peers.LOAD_CORE})
    return {peers.OURS: samples}


async def _rounds(port: int, folder: Path, rounds: int) -> list[Sample]:
    certificate, key = ((folder / name).read_bytes() for name in ("push.pem", "push.key"))
    context = push_ssl_context(certificate, key, str(folder / "ca.pem"), str(folder))
    sender = PushSender(host="127.0.0.1", port=port, ssl_context=context)
    try:
        await _push(sender, 0)  # opens the connection
        return [await _round(sender) for _ in range(rounds)]
    finally:
        await sender.close()


async def _round(sender: PushSender) -> Sample:
    numbers = iter(range(_PUSHES))

    async def worker() -> None:
        for number in numbers:
            await _push(sender, number)

    wall, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(_WORKERS)))
    seconds = time.perf_counter() - wall
    spent = time.process_time() - processor
    return Sample(rate=_PUSHES / seconds, processor_us=spent / _PUSHES * 1e6)


async def _push(sender: PushSender, number: int) -> None:
    token = number.to_bytes(32, "big")
    target = PushTarget(token=token, push_magic=f"magic {number}", topic=TOPIC)
    outcome = await sender.send(target, expires_in_seconds=_EXPIRES_IN_SECONDS)
    if not isinstance(outcome, Accepted):
        raise BenchError(f"a push was not accepted: {outcome}")
