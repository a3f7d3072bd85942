"""Looks at a server four times a second, from a process that has nothing else to do."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import Popen

import psutil

_LOOK_SECONDS = 0.25
_MB = 1 << 20
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the server takes at one moment."""

    at: float
    resident_mb: float
    descriptors: int
    wal_mb: float
    health_ms: float  # over the local socket: how long the event loop lets others wait
    processor: float  # seconds used so far


@dataclass(slots=True, kw_only=True)
class Watch:
    """The samples, once the watching is over."""

    samples: list[Sample] = field(default_factory=list)

    def rows(self) -> dict[str, str]:
        """The figures for the report."""
        health = sorted(sample.health_ms for sample in self.samples)
        first, last = self.samples[0], self.samples[-1]
        used = (last.processor - first.processor) / max(last.at - first.at, 0.001)
        return {
            "resident memory, most MB": f"{max(one.resident_mb for one in self.samples):.0f}",
            "descriptors, most": str(max(one.descriptors for one in self.samples)),
            "WAL, most MB": f"{max(one.wal_mb for one in self.samples):.1f}",
            "health over run/api.sock, median / p99 / longest ms": (
                f"{health[len(health) // 2]:.0f} / {health[int(len(health) * 0.99)]:.0f}"
                f" / {health[-1]:.0f}"
            ),
            "processor of the server": f"{used:.0%} of one core",
        }


@contextlib.contextmanager
def watching(pid: int, data: Path) -> Iterator[Watch]:
    """Watch a server during the block; the samples are there after it."""
    watch = Watch()
    arguments = [sys.executable, "-m", "underload.watch", str(pid), str(data)]
    with tempfile.TemporaryFile("w+") as output, Popen(arguments, stdout=output) as process:
        try:
            yield watch
        finally:
            ended = process.poll()
            process.terminate()
            process.wait(10)
            output.seek(0)
            lines = [line for line in output if line.endswith("}\n")]
            watch.samples = [Sample(**json.loads(line)) for line in lines]
        if ended is not None:
            raise RuntimeError("the server could not be watched to the end")


def _look(process: psutil.Process, data: Path, local: socket.socket) -> Sample:
    began = time.perf_counter()
    local.sendall(_HEALTH)
    if not local.recv(4096).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the server is not well")
    took = time.perf_counter() - began
    wal = data / "appliance.db-wal"
    times = process.cpu_times()
    return Sample(
        at=time.monotonic(),
        resident_mb=process.memory_info().rss / _MB,
        descriptors=process.num_fds(),
        wal_mb=wal.stat().st_size / _MB if wal.exists() else 0.0,
        health_ms=took * 1000,
        processor=times.user + times.system,
    )


def main() -> None:
    """Print a sample a line until the end."""
    process, data = psutil.Process(int(sys.argv[1])), Path(sys.argv[2])
    os.chdir(data / "run")  # a Unix address holds about 100 bytes
    with socket.socket(socket.AF_UNIX) as local:
        local.connect("api.sock")
        while True:
            print(json.dumps(asdict(_look(process, data, local))), flush=True)
            time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
