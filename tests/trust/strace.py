"""Faults of the disk, put into a running server by strace."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.device.server import RunningServer
from tests.programs import program

_PATIENCE_SECONDS = 60


class Injection:
    """A strace at work; `hits` counts the calls that were made to fail or to wait."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    @property
    def hits(self) -> int:
        """How many so far."""
        return self._trace.read_text(errors="replace").count("INJECTED")


@asynccontextmanager
async def injected(server: RunningServer, call: str, fault: str) -> AsyncIterator[Injection]:
    """Let `call` of the server go wrong as `fault` says (strace(1), "Tampering") for the block."""
    assert server.process is not None
    trace = server.data.parent / "injected"
    trace.write_text("")
    attach = ["-f", "-s", "0", "-p", str(server.process.pid), "-o", str(trace)]
    arguments = [program("strace"), *attach, *_fault(call, fault)]
    tracer = subprocess.Popen(arguments, stderr=subprocess.PIPE)
    try:
        await asyncio.to_thread(_attached, server.process.pid)
        yield Injection(trace)
    finally:
        tracer.terminate()  # it lets go of the server
        await asyncio.to_thread(tracer.communicate, timeout=_PATIENCE_SECONDS)


def injecting(call: str, fault: str, *options: str) -> list[str]:
    """What a command is put behind so that `call` goes wrong in it; `options` are strace's."""
    quiet = ["-D", "-f", "-qq", "-o", "/dev/null"]
    return [program("strace"), *quiet, *options, *_fault(call, fault)]


def _fault(call: str, fault: str) -> list[str]:
    return ["-e", f"trace={call}", "-e", f"inject={call}:{fault}"]


def _attached(pid: int) -> None:
    """Wait until every thread is traced (proc(5): TracerPid)."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        if all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks):
            return
        time.sleep(0.01)
    raise AssertionError("strace did not attach")
