"""How a device speaks to its server: signed check-in messages and reports, one channel each."""

from __future__ import annotations

import base64
import plistlib
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from appliance.simulator import cms, plist
from appliance.simulator.declarations import Declarations
from appliance.simulator.failures import MessageRefused, ServerRefused, ToldToLeave
from appliance.simulator.keys import Identity, PrivateKey
from appliance.simulator.profile import Management
from appliance.simulator.transport import Cut, Reply, Request, Transport, new_context

CHECK_IN = "application/x-apple-aspen-mdm-checkin"
REPORT = "application/x-apple-aspen-mdm; charset=UTF-8"
_UNRECOGNIZED = b"com.apple.unrecognized.device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a device has to say about one command, or `IDLE`."""

    request_type: str = ""
    command_uuid: str = ""
    status: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def keys(self) -> dict[str, Any]:
        """The report as it travels."""
        about = {"CommandUUID": self.command_uuid} if self.command_uuid else {}
        return {**about, "Status": self.status, **self.body}


IDLE = Report(status="Idle")


@dataclass(slots=True, kw_only=True)
class Channel:
    """The device channel or one user's: its own push token, magic and session."""

    identification: dict[str, Any]
    token: bytes = field(repr=False)
    push_magic: str = field(repr=False)
    is_user: bool = False
    declarations: Declarations = field(default_factory=Declarations)
    unsent: Report | None = None  # did not reach the server yet
    busy: bool = False
    woken: bool = False  # a push came while it was busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it arrived; `payload` is its Command dictionary."""

    uuid: str
    request_type: str
    payload: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Connection:
    """One device's management: where to, and as whom. The certificate is kept as DER."""

    transport: Transport
    management: Management
    tls: ssl.SSLContext
    certificate: bytes
    key: PrivateKey = field(repr=False)
    clock_error: timedelta = timedelta()

    @classmethod
    def open(
        cls,
        transport: Transport,
        management: Management,
        anchors: tuple[x509.Certificate, ...],
        identity: Identity,
        clock_error: timedelta,
    ) -> Connection:
        """Build it; the identity signs messages, or is shown in TLS when they are not signed."""
        trusted = (*anchors, *management.roots)
        return cls(
            transport=transport,
            management=management,
            tls=transport.tls(trusted) if management.signs else _client_tls(trusted, identity),
            certificate=identity.der,
            key=identity.key,
            clock_error=clock_error,
        )

    def now(self) -> datetime:
        """What the device takes for the time, in UTC."""
        return datetime.now(UTC) + self.clock_error

    async def check_in(
        self,
        channel: Channel,
        message_type: str,
        keys: Mapping[str, Any],
        *,
        attempts: int | None = None,
    ) -> Reply:
        """Send one check-in message and return the answer, whatever it says but to leave."""
        message = {"MessageType": message_type, **channel.identification, **keys}
        return await self._put(self.management.check_in_url, message, CHECK_IN, None, attempts)

    async def checked_in(self, channel: Channel, message_type: str, **keys: Any) -> None:
        """The same for a message that must be answered 200; ServerRefused otherwise."""
        reply = await self.check_in(channel, message_type, keys)
        if reply.status != 200:
            raise ServerRefused(message_type, reply.status, reply.body)

    async def report(
        self,
        channel: Channel,
        report: Report,
        *,
        cut: Cut | None = None,
        attempts: int | None = None,
    ) -> Command | None:
        """Report a status and return the next command, None when the session ends."""
        keys = {**channel.identification, **report.keys()}
        reply = await self._put(self.management.server_url, keys, REPORT, cut, attempts)
        if reply.status != 200:
            raise ServerRefused(f"report {report.status}", reply.status, reply.body)
        return read_command(reply.body)

    async def _put(
        self,
        url: str,
        message: Mapping[str, Any],
        content_type: str,
        cut: Cut | None,
        attempts: int | None,
    ) -> Reply:
        body = plistlib.dumps(message)
        headers = {"Content-Type": content_type, "User-Agent": "MDM/1.0"}
        if self.management.signs:
            headers["Mdm-Signature"] = self._signature(body)
        request = Request(method="PUT", url=url, tls=self.tls, body=body, headers=headers)
        reply = await self.transport.send(request, cut=cut, attempts=attempts)
        if reply.status == 401 or (reply.status == 403 and _UNRECOGNIZED in reply.body):
            raise ToldToLeave(f"the server answered {reply.status}: it wants no such device")
        return reply

    def _signature(self, body: bytes) -> str:
        certificate = x509.load_der_x509_certificate(self.certificate)
        identity = Identity(certificate=certificate, key=self.key)
        signed_at = self.now() if self.clock_error else None
        return base64.b64encode(cms.sign_body(body, identity, signed_at=signed_at)).decode()


def read_command(body: bytes) -> Command | None:
    """The command in an answer, None in an empty one; MessageRefused for anything else."""
    if not body:
        return None
    try:
        message = plist.loads(body)
        payload = message["Command"]
        return Command(
            uuid=message["CommandUUID"],
            request_type=str(payload.get("RequestType", "")),
            payload=payload,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MessageRefused(f"the answer to a report is no command: {error!r}") from error


def _client_tls(trusted: tuple[x509.Certificate, ...], identity: Identity) -> ssl.SSLContext:
    context = new_context(b"".join(cms.pem(root) for root in trusted))
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # only this user can read it
        Path(file.name).write_bytes(identity.pem)
        context.load_cert_chain(file.name)
    return context
