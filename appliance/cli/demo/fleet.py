"""The process of the simulated devices and of their push server, and the words we speak with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError
from appliance.resources import own_command

_START_SECONDS = 30.0
_END_SECONDS = 1.0
_LOG_TAIL = 2000


class FleetFailed(ApplianceError):
    """The process of the simulated devices does not do its part."""

    code = "demo.fleet_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushServer:
    """The loopback APNs, and the push certificate that it accepts."""

    host: str
    port: int
    ca_file: Path
    certificate: Path
    key: Path


class Fleet:
    """One JSON object a line, both ways; the process ends with its standard input."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, *, devices: int, seed: int) -> AsyncIterator[Fleet]:
        """Run `appliance simulate` as long as the caller's block takes."""
        log = folder / "simulate.log"
        arguments = [
            "simulate", "--control", "--cast", "demo", "--devices", str(devices),
            "--seed", str(seed), "--push-server", str(folder / "apns"),
        ]  # fmt: skip
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *own_command(), *arguments,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,  # Ctrl-C is ours; the fleet ends with its input
            )  # fmt: skip
        try:
            yield cls(process, log)
        finally:
            await _end(process)

    async def push_server(self) -> PushServer:
        """Return the push server, once it listens.

        Raises:
            FleetFailed: it does not.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = await self._read()
        except TimeoutError as error:
            raise self._failure("the simulated devices did not start in time") from error
        if said is None or said["event"] != "push-server":
            raise self._failure("the simulated devices did not start")
        return PushServer(
            host=said["host"],
            port=said["port"],
            ca_file=Path(said["ca_file"]),
            certificate=Path(said["certificate"]),
            key=Path(said["key"]),
        )

    async def enroll(self, profile_url: str, ca_file: Path) -> None:
        """Let every device enroll with a profile of its own from `profile_url`."""
        await self._say({"do": "enroll", "profile": profile_url, "ca_file": str(ca_file)})

    async def unlock(self, udid: str) -> None:
        """Let the owner of a device unlock it."""
        await self._say({"do": "unlock", "udid": udid})

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens to the devices.

        Raises:
            FleetFailed: the process ended.
        """
        while (said := await self._read()) is not None:
            yield said
        raise self._failure("the simulated devices have ended")

    async def _say(self, message: dict[str, str]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = await self._process.stdout.readline()
        said: dict[str, Any] | None = json.loads(line) if line else None
        return said

    def _failure(self, problem: str) -> FleetFailed:
        lines = self._log.read_text("utf-8", "replace")[-_LOG_TAIL:].strip().splitlines()
        return FleetFailed(problem, why=" | ".join(lines[-3:]))


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
