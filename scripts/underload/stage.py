"""One server with a fleet in its store, on a core of its own, and a watch over what it takes."""

from __future__ import annotations

import contextlib
import os
import resource
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.device.server import Api, RunningServer
from tests.trust.crowd import Member, seed

from .watch import Watch, watching

SERVER_CORE, LOAD_CORE = 0, 1
_CGROUPS = Path("/sys/fs/cgroup/memory")
_MB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the server is started."""

    devices: int
    share_cores: bool = False  # else server and load have one core each
    memory_mb: int = 0  # a hard limit for the server, where this system has control groups
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Stage:
    """The running server and who speaks to it."""

    server: RunningServer
    members: list[Member]
    api: Api
    process: psutil.Process

    @property
    def tls(self) -> ssl.SSLContext:
        """A context that trusts the server."""
        return self.server.tls

    @contextlib.contextmanager
    def watched(self) -> Iterator[Watch]:
        """Watch the server during the block."""
        with watching(self.process.pid, self.server.data) as watch:
            yield watch


@contextlib.asynccontextmanager
async def stage(folder: Path, terms: Terms) -> AsyncIterator[Stage]:
    """A ready server whose store has the fleet; ends with the block."""
    _raise_descriptors()
    server = RunningServer(folder / "data", environment=terms.environment)
    server.initialise()
    members = seed(server.data, server.topic, terms.devices)
    wrapper: tuple[str, ...] = ()
    if not terms.share_cores:
        os.sched_setaffinity(0, {LOAD_CORE})
        wrapper = ("taskset", "-c", str(SERVER_CORE))
    server.start(wrapper=wrapper)
    if server.process is None:
        raise RuntimeError("the server did not start")
    try:
        with _memory_limit(server.process.pid, terms.memory_mb):
            async with server.session() as session:
                yield Stage(
                    server=server,
                    members=members,
                    api=Api(server, session),
                    process=psutil.Process(server.process.pid),
                )
    finally:
        server.stop()


@contextlib.contextmanager
def _memory_limit(pid: int, megabytes: int) -> Iterator[None]:
    """Let the kernel kill the server when it takes more; needs root and control groups of v1."""
    if not megabytes:
        yield
        return
    group = _CGROUPS / f"appliance-load-{pid}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(megabytes * _MB))
    (group / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        (_CGROUPS / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _raise_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
