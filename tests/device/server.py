"""Starts the real server as a process of its own, on loopback, over a temporary data directory."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from appliance.simulator import keys
from appliance.simulator.cms import pem
from appliance.simulator.keys import Identity

from .device import Device

START_SECONDS = 60  # a crowded machine takes its time
STOP_SECONDS = 30
_CRASHES = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT)
SCOPES = ("admin", "danger", "read", "secrets", "write")
# The program under test: the source, or a frozen executable.
PROGRAM = shlex.split(os.environ.get("APPLIANCE_EXECUTABLE", "")) or [
    sys.executable,
    "-m",
    "appliance",
]
DEVICE_PATHS = ("/mdm", "/checkin", "/scep", "/e/", "/ota")


class ServerFailed(Exception):
    """The server did not start, or a command failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An API answer."""

    status: int
    json: Any
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An enrollment link."""

    code: str
    url: str
    profile_url: str


def free_port() -> int:
    """A loopback port that nobody uses, and that no outgoing connection is given meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311 - the system's own begin at 32768
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def lab_push_certificate(topic: str) -> Identity:
    """What Apple's portal would issue for `topic`, self-signed."""
    subject = keys.name(("UID", topic), ("CN", f"APSP:{topic[-36:]}"), ("C", "US"))
    return keys.self_signed(subject)


class RunningServer:
    """One server process and its administrator's token."""

    def __init__(self, data: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.topic = f"com.apple.mgmt.External.{uuid.uuid4()}"
        self.token = ""
        self.log = data.parent / f"{data.name}.log"
        self.backup_key = data.parent / f"{data.name}.backup-key"  # the owner's, kept elsewhere
        self.process: subprocess.Popen[bytes] | None = None
        self.unauthorized: Counter[str] = Counter()  # device paths that were answered 401
        self.failures: Counter[str] = Counter()  # paths that were answered 500
        self._environment = {
            **os.environ,
            # Nothing may leave this machine: pushes go to a port that nobody serves.
            "APPLIANCE_PUSH__HOST": "127.0.0.1",
            "APPLIANCE_PUSH__PORT": str(free_port()),
            **(environment or {}),
        }
        for name in ("APPLIANCE_DATA", "APPLIANCE_CONFIG"):
            self._environment.pop(name, None)

    @property
    def root_file(self) -> Path:
        """The trust anchor of the built-in TLS."""
        return self.data / "keys" / "root.pem"

    @property
    def tls(self) -> ssl.SSLContext:
        """A client context that trusts this server and nobody else."""
        return ssl.create_default_context(cafile=str(self.root_file))

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `appliance ARGUMENTS --data DIR`."""
        command = [*PROGRAM, *arguments, "--data", str(self.data)]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise ServerFailed(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def initialise(self) -> None:
        """Create the data directory and a token with every scope."""
        done = self.cli("init", "--url", self.url, "--organization", "Test Lab", "--json")
        self.backup_key.write_text(json.loads(done.stdout)["backup_key"] + "\n")
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        done = self.cli("token", "create", f"tests-{uuid.uuid4().hex[:8]}", *scopes, "--json")
        self.token = json.loads(done.stdout)["token"]

    def start(self, *, wrapper: Sequence[str] = ()) -> None:
        """Serve until `/readyz` answers 200; `wrapper` goes before the command (strace)."""
        command = [*PROGRAM, "serve", "--data", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *command], env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(f"not ready; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        # Wrapped before it connects: a reset while a connected socket is wrapped loses the socket.
        unconnected = socket.socket()
        unconnected.settimeout(5)
        try:
            with self.tls.wrap_socket(unconnected, server_hostname="localhost") as connection:
                connection.connect(("127.0.0.1", self.port))
                connection.sendall(
                    b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def log_tail(self) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        assert self.process.poll() not in _CRASHES, "it crashed, nobody killed it"
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """SIGTERM; returns the exit status. A server that does not end in time is killed."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert status not in _CRASHES, "it crashed, nobody killed it"
        return status

    def session(self) -> aiohttp.ClientSession:
        """A client session that trusts this server and counts answers that must not happen."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._count)
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=60)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[trace])

    async def _count(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        parameters: aiohttp.TraceRequestEndParams,
    ) -> None:
        path = urlsplit(str(parameters.url)).path
        if parameters.response.status == 401 and path.startswith(DEVICE_PATHS):
            self.unauthorized[path] += 1
        if parameters.response.status == 500:
            self.failures[path] += 1

    async def import_push_certificate(self, api: Api, identity: Identity | None = None) -> Answer:
        """Give the server a push certificate for `topic`."""
        identity = identity or lab_push_certificate(self.topic)
        body = {
            "certificate": pem(identity.certificate).decode(),
            "private_key": keys.key_pem(identity.key).decode(),
        }
        return await api.put("/api/v1/push-certificate", body)


class Api:
    """The administrator's side, over HTTP."""

    def __init__(self, server: RunningServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.token = server.token

    async def request(self, method: str, path: str, body: Any = None) -> Answer:
        """One call with the bearer token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = self.server.url + path
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            parsed = json.loads(text) if "json" in response.content_type else None
            return Answer(status=response.status, json=parsed, text=text)

    async def get(self, path: str) -> Answer:
        """GET."""
        return await self.request("GET", path)

    async def put(self, path: str, body: Any = None) -> Answer:
        """PUT."""
        return await self.request("PUT", path, body)

    async def post(self, path: str, body: Any = None) -> Answer:
        """POST."""
        return await self.request("POST", path, body)

    async def delete(self, path: str) -> Answer:
        """DELETE."""
        return await self.request("DELETE", path)

    async def device(self, enrollment_id: str) -> dict[str, Any]:
        """One device as the API shows it."""
        answer = await self.get(f"/api/v1/devices/{enrollment_id}")
        assert answer.status == 200, answer
        shown: dict[str, Any] = answer.json
        return shown

    async def enqueue(
        self, target: str | Sequence[str], request_type: str, **fields: Any
    ) -> list[dict[str, Any]]:
        """Queue one command; returns the entries of `commands`."""
        targets = [target] if isinstance(target, str) else list(target)
        body = {"targets": targets, "request_type": request_type, **fields}
        answer = await self.post("/api/v1/commands", body)
        assert answer.status == 202, answer
        commands: list[dict[str, Any]] = answer.json["commands"]
        return commands

    async def queue(self, target: str, request_type: str = "ProfileList", **fields: Any) -> str:
        """Queue one command for one channel; returns its CommandUUID."""
        (command,) = await self.enqueue(target, request_type, **fields)
        command_uuid: str = command["id"]
        return command_uuid

    async def command(self, command_uuid: str) -> dict[str, Any]:
        """One command as the API shows it."""
        answer = await self.get(f"/api/v1/commands/{command_uuid}")
        assert answer.status == 200, answer
        shown: dict[str, Any] = answer.json
        return shown

    async def new_link(self, *, uses: int = 1, expires_in: int | str = "1h") -> Link:
        """A fresh enrollment link."""
        body = {"uses": uses, "expires_in": expires_in, "label": "tests"}
        answer = await self.post("/api/v1/enrollment-links", body)
        assert answer.status == 201, answer
        shown = answer.json
        return Link(code=shown["code"], url=shown["url"], profile_url=shown["profile_url"])

    async def download(self, link: Link) -> bytes:
        """The enrollment profile of a link."""
        async with self.session.get(link.profile_url) as response:
            body = await response.read()
            assert response.status == 200, body[:300]
            assert response.content_type == "application/x-apple-aspen-config"
            return body

    async def profile(self) -> bytes:
        """The enrollment profile of a fresh link with one use."""
        return await self.download(await self.new_link())

    async def enroll(self, device: Device | None = None) -> Device:
        """Enroll a device by a fresh link."""
        device = device or Device(self.session)
        await device.enroll_from_profile(await self.profile())
        return device
