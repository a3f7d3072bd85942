"""A device: enrolls from a profile, checks in, reports, and can lie about who it is."""

from __future__ import annotations

import base64
import io
import os
import plistlib
import ssl
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from appliance.simulator import cms
from appliance.simulator.keys import Identity, rsa_key
from appliance.simulator.profile import Profile

from .scep import ScepClient

CHECK_IN = "application/x-apple-aspen-mdm-checkin"
REPORT = "application/x-apple-aspen-mdm; charset=UTF-8"
SHARED_IPAD_USER = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as the device received it."""

    uuid: str
    request_type: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The server's answer to one message."""

    status: int
    content_type: str
    body: bytes

    @property
    def command(self) -> Command | None:
        """The next command, None when the session ends."""
        assert self.status == 200, f"{self.status}: {self.body[:300]!r}"
        if not self.body:
            return None
        assert self.content_type == "application/xml", self.content_type
        message = plistlib.loads(self.body)
        payload = message["Command"]
        return Command(
            uuid=message["CommandUUID"], request_type=payload["RequestType"], payload=payload
        )

    @property
    def plist(self) -> Mapping[str, Any]:
        """The answer to a check-in message that has one; empty for an empty body."""
        assert self.status == 200, f"{self.status}: {self.body[:300]!r}"
        answer: Mapping[str, Any] = plistlib.loads(self.body) if self.body else {}
        return answer


class Channel:
    """The device channel or one user's: its own push token, magic and queue."""

    def __init__(self, device: Device, identification: Mapping[str, Any]) -> None:
        self.device = device
        self.identification = dict(identification)
        self.token = os.urandom(32)
        self.push_magic = str(uuid.uuid4()).upper()

    async def check_in(self, message_type: str, **keys: Any) -> Reply:
        """Send one check-in message; keys with the value None are left out."""
        message = {"MessageType": message_type, **self.identification, **keys}
        return await self.device.send(
            self.device.check_in_url, _without_none(message), content_type=CHECK_IN
        )

    async def token_update(self, **keys: Any) -> Reply:
        """TokenUpdate with this channel's token and magic."""
        keys = {
            "Topic": self.device.topic,
            "Token": self.token,
            "PushMagic": self.push_magic,
            **keys,
        }
        return await self.check_in("TokenUpdate", **keys)

    async def report(self, status: str, command_uuid: str | None = None, **keys: Any) -> Reply:
        """Report a status, with the result's keys beside it."""
        message = {**self.identification, "Status": status, "CommandUUID": command_uuid, **keys}
        return await self.device.send(
            self.device.server_url, _without_none(message), content_type=REPORT
        )

    async def idle(self) -> Reply:
        """Connect with nothing to report."""
        return await self.report("Idle")

    async def acknowledge(self, command: Command | str, **response: Any) -> Reply:
        """Report that a command was executed."""
        return await self.report("Acknowledged", _uuid(command), **response)

    async def not_now(self, command: Command | str) -> Reply:
        """Refuse a command for the moment."""
        return await self.report("NotNow", _uuid(command))

    async def error(self, command: Command | str, *, code: int = 12026, **keys: Any) -> Reply:
        """Report that a command failed."""
        chain = {
            "ErrorCode": code,
            "ErrorDomain": "MCMDMErrorDomain",
            "LocalizedDescription": "It did not work.",
            "USEnglishDescription": "It did not work.",
        }
        return await self.report("Error", _uuid(command), ErrorChain=[chain], **keys)

    async def format_error(self, command: Command | str) -> Reply:
        """Report that a command made no sense."""
        return await self.report("CommandFormatError", _uuid(command))

    async def set_bootstrap_token(self, token: bytes | None) -> Reply:
        """Escrow the bootstrap token; None and empty delete it."""
        return await self.check_in("SetBootstrapToken", BootstrapToken=token)

    async def get_bootstrap_token(self) -> bytes:
        """Fetch the escrowed bootstrap token, empty when there is none."""
        token: bytes = (await self.check_in("GetBootstrapToken")).plist.get("BootstrapToken", b"")
        return token


class Device(Channel):
    """One device. `identity` may be exchanged for another's, `identification` for a lie."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        udid: str | None = None,
        enrollment_id: str | None = None,
    ) -> None:
        self.udid = udid or str(uuid.uuid4()).upper()
        self.enrollment_id = enrollment_id
        super().__init__(
            self, {"EnrollmentID": enrollment_id} if enrollment_id else {"UDID": self.udid}
        )
        self.session = session
        self.serial_number = "C" + os.urandom(5).hex().upper()
        self.identity: Identity | None = None
        self.profile: Profile | None = None
        self.server_url = self.check_in_url = self.topic = ""
        self.digest = "sha256"
        self.signed_attributes = False
        self.indefinite = False
        self.signs = True
        self.presents_certificate = False
        self.headers: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The enrollment ID."""
        return self.enrollment_id or self.udid

    def user(self, short_name: str = "yuki", *, user_id: str | None = None) -> Channel:
        """The channel of one user of this device."""
        keys = {"UserShortName": short_name, "UserLongName": short_name.title()}
        if self.enrollment_id:
            keys["EnrollmentUserID"] = user_id or str(uuid.uuid4()).upper()
        else:
            keys["UserID"] = user_id or str(uuid.uuid4()).upper()
        return Channel(self, {**self.identification, **keys})

    def shared_user(self, short_name: str) -> Channel:
        """The channel of a Shared iPad's user."""
        return self.user(short_name, user_id=SHARED_IPAD_USER)

    async def enroll_from_profile(self, data: bytes) -> None:
        """All that a device does when a person installs the enrollment profile."""
        await self.obtain_identity(data)
        reply = await self.authenticate()
        assert reply.status == 200, f"Authenticate: {reply.status} {reply.body[:300]!r}"
        reply = await self.token_update()
        assert reply.status == 200, f"TokenUpdate: {reply.status} {reply.body[:300]!r}"

    async def obtain_identity(self, data: bytes) -> Identity:
        """Read the profile and get a certificate for its challenge."""
        self.read_profile(data)
        assert self.profile is not None
        scep = self.profile.scep
        client = ScepClient(self.session, scep["URL"])
        subject = [(k, self._substituted(v)) for k, v in self.profile.subject]
        key = rsa_key(scep.get("Keysize", 1024))
        self.identity = await client.enroll(
            scep["Challenge"], subject=subject or [("CN", self.udid)], key=key
        )
        return self.identity

    def read_profile(self, data: bytes) -> None:
        """Take URLs and topic from the profile."""
        self.profile = Profile.read(data)
        mdm = self.profile.mdm
        self.server_url = mdm["ServerURL"]
        self.check_in_url = mdm.get("CheckInURL", self.server_url)
        self.topic = mdm["Topic"]

    def _substituted(self, text: str) -> str:
        """The variables which macOS replaces in a SCEP subject."""
        return text.replace("%HardwareUUID%", self.udid).replace(
            "%SerialNumber%", self.serial_number
        )

    async def authenticate(self, **keys: Any) -> Reply:
        """Ask to be enrolled."""
        facts: dict[str, Any] = {
            "Topic": self.topic,
            "DeviceName": "Test device",
            "Model": "MacBookPro16,1",
            "ModelName": "MacBook Pro",
            "OSVersion": "14.5",
            "BuildVersion": "23F79",
            "ProductName": "MacBookPro16,1",
            "SerialNumber": None if self.enrollment_id else self.serial_number,
        }
        return await self.check_in("Authenticate", **{**facts, **keys})

    async def check_out(self) -> Reply:
        """Say that the profile was removed."""
        return await self.check_in("CheckOut", Topic=self.topic)

    async def send(
        self, url: str, message: Mapping[str, Any] | bytes, *, content_type: str | None
    ) -> Reply:
        """PUT one message, signed with this device's identity."""
        body = message if isinstance(message, bytes) else plistlib.dumps(message)
        headers = dict(self.headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        if self.signs:
            headers["Mdm-Signature"] = self.signature(body)
        tls = self._client_context() if self.presents_certificate else True
        async with self.session.put(
            url, data=io.BytesIO(body), headers=headers, ssl=tls
        ) as response:
            return Reply(
                status=response.status,
                content_type=response.content_type,
                body=await response.read(),
            )

    def signature(self, body: bytes) -> str:
        """The `Mdm-Signature` header for a body."""
        assert self.identity is not None, "no identity yet"
        signature = cms.sign_body(
            body,
            self.identity,
            digest=self.digest,
            attributes=self.signed_attributes,
            indefinite=self.indefinite,
        )
        return base64.b64encode(signature).decode()

    def _client_context(self) -> ssl.SSLContext:
        """Trusts what the profile trusts and presents the identity."""
        assert self.profile is not None
        assert self.identity is not None
        roots = b"".join(cms.pem(root) for root in self.profile.roots).decode()
        context = ssl.create_default_context(cadata=roots)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            Path(file.name).write_bytes(self.identity.pem)
            context.load_cert_chain(file.name)
        return context


def _without_none(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


def _uuid(command: Command | str) -> str:
    return command if isinstance(command, str) else command.uuid
