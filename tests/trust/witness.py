"""What the server confirmed, and whether a copy of its store agrees."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.device.device import Device
from tests.device.server import Answer, Api


@dataclass(kw_only=True)
class Witness:
    """Everything that was answered with a 2xx; `doubtful` was asked for and not answered."""

    devices: list[Device] = field(default_factory=list)
    certificates: list[int] = field(default_factory=list)
    queued: set[str] = field(default_factory=set)
    erases: set[str] = field(default_factory=set)
    acknowledged: dict[str, str] = field(default_factory=dict)  # CommandUUID: a mark in the result
    delivered_again: list[str] = field(default_factory=list)
    bootstrap: dict[str, list[bytes]] = field(default_factory=dict)  # confirmed, then doubtful
    tokens: dict[str, list[bytes]] = field(default_factory=dict)  # the same of push tokens
    statuses: set[int] = field(default_factory=set)

    @property
    def confirmed(self) -> int:
        """How many facts."""
        return (
            len(self.devices) + len(self.certificates) + len(self.queued) + len(self.erases)
            + len(self.acknowledged)
        )  # fmt: skip

    async def enqueue(self, api: Api, device: Device) -> None:
        """Queue one command."""
        body = {"targets": [device.id], "request_type": "ProfileList", "push": False}
        self._queued(await api.post("/api/v1/commands", body), self.queued)

    async def erase(self, api: Api, device: Device) -> None:
        """Queue an erase of a device that does not come."""
        body = {
            "targets": [device.id], "request_type": "EraseDevice", "push": False,
            "confirm": {"serial_number": device.serial_number},
        }  # fmt: skip
        self._queued(await api.post("/api/v1/commands", body), self.erases)

    def _queued(self, answer: Answer, where: set[str]) -> None:
        self.statuses.add(answer.status)
        if answer.status == 202:
            where.add(answer.json["commands"][0]["id"])

    async def answer_all(self, device: Device) -> None:
        """Fetch and acknowledge what waits."""
        reply = await device.idle()
        self.statuses.add(reply.status)
        while reply.status == 200 and (command := reply.command):
            if command.uuid in self.acknowledged:
                self.delivered_again.append(command.uuid)
            mark = os.urandom(8).hex()
            reply = await device.acknowledge(command, Mark=mark)
            self.statuses.add(reply.status)
            if reply.status == 200:
                self.acknowledged[command.uuid] = mark

    async def escrow(self, device: Device) -> None:
        """Escrow a bootstrap token, and change the push token."""
        new = os.urandom(32)
        self.bootstrap.setdefault(device.id, [b""]).append(new)
        reply = await device.set_bootstrap_token(new)
        self.statuses.add(reply.status)
        if reply.status == 200:
            self.bootstrap[device.id] = [new]
        device.token = os.urandom(32)
        self.tokens.setdefault(device.id, []).append(device.token)
        reply = await device.token_update()
        self.statuses.add(reply.status)
        if reply.status == 200:
            self.tokens[device.id] = [device.token]

    async def enroll(self, api: Api, profile: bytes) -> None:
        """Enroll a device: SCEP, Authenticate, TokenUpdate."""
        device = Device(api.session)
        identity = await device.obtain_identity(profile)
        self.certificates.append(identity.certificate.serial_number)
        if (await device.authenticate()).status == (await device.token_update()).status == 200:
            self.devices.append(device)

    def check_store(self, data: Path) -> None:
        """Compare a copy of the store with what was confirmed."""
        with copy_of(data) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = {
                uuid: (status, bytes(body or b""))
                for uuid, status, body in db.execute(
                    "SELECT c.uuid, c.status, r.body FROM commands AS c"
                    "  LEFT JOIN command_results AS r ON r.command_id = c.id"
                )
            }
            assert self.queued | self.erases <= stored.keys(), "a queued command is lost"
            for uuid, mark in self.acknowledged.items():
                status, body = stored[uuid]
                assert status == "acknowledged", "an answer is lost"
                assert mark.encode() in body
            assert all(stored[uuid][0] == "queued" for uuid in self.erases)
            serials = {serial for (serial,) in db.execute("SELECT serial FROM certificates")}
            assert {f"{number:x}" for number in self.certificates} <= serials
            enrolled = dict(db.execute("SELECT id, push_token FROM enrollments"))
            assert {device.id for device in self.devices} <= enrolled.keys()
            for device_id, tokens in self.tokens.items():
                assert enrolled[device_id] in tokens, "a push token is neither old nor new"


@contextmanager
def copy_of(data: Path) -> Iterator[sqlite3.Connection]:
    """The store as somebody finds it who opens a copy of its files."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("appliance.db", "appliance.db-wal"):
            with suppress(FileNotFoundError):  # a server that ends takes its log with it
                shutil.copy(data / name, folder)
        with closing(sqlite3.connect(Path(folder, "appliance.db"))) as db:
            yield db


async def until_lost(work: Awaitable[None]) -> None:
    """Wait for the work, which ends with the connection."""
    try:
        await work
    except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError):
        return
