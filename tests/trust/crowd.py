"""Many enrolled devices at once: written into the store, and speaking over bare connections."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import random
import re
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.simulator import cms, keys
from appliance.simulator.keys import Identity
from appliance.store import certificates, enrollments
from appliance.store.certificates import Issued
from appliance.wire.certificates import fingerprint
from tests.device.device import REPORT

_KEYS = 8  # making one takes longer than anything else here
_EPOCH = datetime.now(UTC)
_UUID = re.compile(rb"<key>CommandUUID</key>\s*<string>([^<]+)</string>")
_LONGEST_PAUSE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One device, as the bytes that it sends."""

    udid: str
    identity: Identity

    def report(self, status: str = "Idle", **keys_: object) -> bytes:
        """A whole signed request."""
        message = {"Status": status, "UDID": self.udid, **keys_}
        return self._signed(plistlib.dumps(message))

    def _signed(self, body: bytes) -> bytes:
        signature = base64.b64encode(cms.sign_body(body, self.identity)).decode()
        return (
            f"PUT /mdm HTTP/1.1\r\nHost: localhost\r\nContent-Type: {REPORT}\r\n"
            f"Mdm-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def seed(data: Path, topic: str, count: int) -> list[Member]:
    """Enroll `count` devices by writing what Authenticate and TokenUpdate leave behind.

    The server of `data` must not be at work at this moment: it has one writer.
    """
    folder = data / "keys"
    authority = Identity(
        certificate=x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()),
        key=load_pem_private_key((folder / "ca.key").read_bytes(), None),  # type: ignore[arg-type]
    )
    pool = [keys.rsa_key() for _ in range(min(_KEYS, count))]
    members = []
    with closing(sqlite3.connect(data / "appliance.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")  # only the server checkpoints
        db.execute("BEGIN IMMEDIATE")
        for number in range(count):
            udid = f"{number:08X}-0000-4000-8000-{random.getrandbits(48):012X}"
            subject = keys.name(("CN", udid))
            identity = keys.issued_by(authority, subject, pool[number % len(pool)])
            _enroll(db, udid, topic, identity)
            members.append(Member(udid=udid, identity=identity))
        db.execute("COMMIT")
    return members


def _enroll(db: sqlite3.Connection, udid: str, topic: str, identity: Identity) -> None:
    now = int(time.time() * 1000)
    sha256 = fingerprint(identity.certificate)
    issued = Issued(
        sha256=sha256, serial=f"{identity.certificate.serial_number:x}", der=identity.der,
        public_key_sha256=b"", link_code=None, issued_for=None, enrollment_id=udid, issued_at=now,
        not_after=int((_EPOCH + timedelta(days=365)).timestamp() * 1000), revoked_at=None,
    )  # fmt: skip
    certificates.add(db, issued, transaction_id=udid)
    enrollment = EnrollmentID(id=udid, parent_id=None, type=EnrollmentType.DEVICE)
    enrollments.begin(db, enrollment, sha256=sha256, topic=topic, now=now)
    token = udid.replace("-", "").encode()
    update = TokenUpdate(enrollment=enrollment, topic=topic, push_magic=udid, token=token)
    enrollments.complete(db, update, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    status: int
    head: bytes
    body: bytes

    @property
    def command_uuid(self) -> str:
        """The command that was handed out, "" for none."""
        found = _UUID.search(self.body)
        return found[1].decode() if found else ""

    @property
    def retry_after(self) -> float:
        """Seconds; 0 if the server does not say."""
        found = re.search(rb"(?i)\r\nretry-after: *(\d+)", self.head)
        return float(found[1]) if found else 0.0


class Line:
    """One connection of one device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None) -> Line:
        """A new connection; without `tls` it stops before its handshake."""
        host = "localhost" if tls else None
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=host)
        return cls(*streams)

    async def ask(self, request: bytes, *, seconds: float = 60.0) -> Answer:
        """Send a request and read its answer."""
        async with asyncio.timeout(seconds):
            self.writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await self._reader.readexactly(int(length[1])) if length else b""
        return Answer(status=int(head[9:12]), head=head, body=body)

    async def rest(self, *, seconds: float) -> bytes:
        """Wait until the server closes the connection; what it said before."""
        try:
            async with asyncio.timeout(seconds):
                return await self._reader.read()
        except ConnectionError:
            return b""

    async def is_closed(self, *, seconds: float = 0.05) -> bool:
        """Whether the server has closed the connection."""
        try:
            await self.rest(seconds=seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Go away."""
        self.writer.transport.abort()


@dataclass(slots=True, kw_only=True)
class Record:
    """What became of a crowd."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0  # connections that were refused or closed; they were opened again
    waits: list[float] = field(default_factory=list)  # from the beginning to the last answer
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)


async def visit(
    port: int,
    tls: ssl.SSLContext,
    idle: bytes,
    results: Mapping[str, bytes],
    record: Record,
    *,
    give_up_after: float = 120.0,
) -> None:
    """Connect as one device, take and acknowledge its commands (`results` by UUID), and leave.

    A device that is sent away or loses its connection comes back, as Apple's do.
    """
    began = time.monotonic()
    pause = 0.5
    while time.monotonic() - began < give_up_after:
        try:
            line = await Line.open(port, tls)
            try:
                wait = await _session(line, idle, results, record)
            finally:
                line.close()
            if not wait:
                record.waits.append(time.monotonic() - began)
                return
        except (OSError, EOFError):
            record.broken += 1
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311
            pause = min(pause * 2, _LONGEST_PAUSE)
        await asyncio.sleep(wait)
    record.wrong.append("a device was never served")


async def _session(line: Line, idle: bytes, results: Mapping[str, bytes], record: Record) -> float:
    """Return 0 when all is done, else the seconds after which the server wants to be asked."""
    request = idle
    while True:
        answer = await line.ask(request)
        record.statuses[answer.status] += 1
        if answer.status == 503:
            if not answer.retry_after:
                record.wrong.append("503 without Retry-After")
            return answer.retry_after or 1.0
        if answer.status != 200:
            record.wrong.append(f"answered {answer.status}")
            return 0.0
        if not answer.command_uuid:
            return 0.0
        if answer.command_uuid not in results:
            record.wrong.append(f"another's command: {answer.command_uuid}")
            return 0.0
        record.delivered += 1
        request = results[answer.command_uuid]
