"""The real application over a real data directory, and devices written into its database."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from appliance.app import Parts
from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.command import CommandResult, Status
from appliance.mdm.device import DeviceFacts
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import certificates, commands, devices, enrollments
from appliance.store.certificates import Issued

TOPIC = "com.apple.mgmt.External.tests"
NOW = int(time.time() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, a JSON document if there was one, and the headers."""

    status: int
    json: Any
    headers: Any
    text: str


class ApiClient:
    """Calls the application with one token."""

    def __init__(self, client: TestClient[Request, Application], parts: Parts, token: str) -> None:
        self.client = client
        self.parts = parts
        self.token = token

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """One request; `token=None` sends none."""
        headers = dict(options.pop("headers", {}))
        token = options.pop("token", self.token)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.request(
            method, path, json=body, headers=headers, **options
        ) as response:
            text = await response.text()
            document = await response.json(content_type=None) if "json" in _type(response) else None
            return Answer(
                status=response.status, json=document, headers=response.headers, text=text
            )

    async def new_token(self, *scopes: str) -> str:
        """A token with just these scopes."""
        _, text = await self.parts.services.tokens.create("-".join(scopes), list(scopes))
        return text

    def database(self) -> closing[sqlite3.Connection]:
        """A connection of our own to the application's database."""
        return closing(sqlite3.connect(self.parts.directory.database))

    def enroll(self, name: str, *, platform: str = "Mac") -> str:
        """Write an enrolled device; returns its enrollment ID."""
        with self.database() as db, db:
            enroll(db, name, platform)
        return name

    def answer_command(self, target: str, uuid: str, answer: bytes) -> None:
        """Write what the device answers."""
        with self.database() as db, db:
            enrollment = EnrollmentID(id=target, parent_id=None, type=EnrollmentType.DEVICE)
            commands.next_command(db, target, idle=True, now=NOW)
            result = CommandResult(
                enrollment=enrollment, status=Status.ACKNOWLEDGED, command_uuid=uuid, error_chain=()
            )
            assert commands.report(db, result, answer, NOW)


def enroll(db: sqlite3.Connection, name: str, platform: str) -> None:
    """What Authenticate and TokenUpdate leave behind."""
    sha256 = name.encode().ljust(32, b"\0")
    enrollment = EnrollmentID(id=name, parent_id=None, type=EnrollmentType.DEVICE)
    issued = Issued(
        sha256=sha256, serial=name.encode().hex(), der=b"der", public_key_sha256=b"key",
        link_code=None, issued_for=None, enrollment_id=name, issued_at=NOW,
        not_after=NOW * 2, revoked_at=None,
    )  # fmt: skip
    certificates.add(db, issued, transaction_id=name)
    enrollments.begin(db, enrollment, sha256=sha256, topic=TOPIC, now=NOW)
    update = TokenUpdate(enrollment=enrollment, topic=TOPIC, push_magic="magic", token=b"token")
    enrollments.complete(db, update, NOW)
    facts = DeviceFacts(
        serial_number=f"SERIAL-{name}", udid=name, name=f"{name}'s {platform}",
        product_name="MacBookPro18,3" if platform == "Mac" else "iPhone15,2",
        os_version="15.1", platform="macOS" if platform == "Mac" else "iOS",
    )  # fmt: skip
    devices.put_facts(db, name, facts)


def _type(response: Any) -> str:
    return str(response.headers.get("Content-Type", ""))
