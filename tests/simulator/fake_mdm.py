"""An MDM server that says whatever a test wants, and enrollment profiles for it."""

from __future__ import annotations

import contextlib
import plistlib
import ssl
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12

from appliance.simulator import keys
from appliance.simulator.apns_certificates import ApnsAuthority
from appliance.simulator.fleet import ProfileSource

TOPIC = "com.apple.mgmt.External.fake"
IDENTITY = keys.self_signed(keys.name(("CN", "fake device")))


def payload(payload_type: str, **content: Any) -> dict[str, Any]:
    """One payload with the keys that all have."""
    return {
        "PayloadType": payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"org.example.{payload_type}",
        "PayloadUUID": str(uuid.uuid4()),
        **content,
    }


def profile(*payloads: Mapping[str, Any]) -> bytes:
    """A configuration profile of these payloads."""
    return plistlib.dumps(payload("Configuration", PayloadContent=list(payloads)))


def pkcs12_payload() -> dict[str, Any]:
    """An identity that comes with the profile."""
    data = pkcs12.serialize_key_and_certificates(
        None, IDENTITY.key, IDENTITY.certificate, None, NoEncryption()
    )
    return payload("com.apple.security.pkcs12", PayloadContent=data)


def mdm_payload(url: str, identity: Mapping[str, Any], **keys_: Any) -> dict[str, Any]:
    """The MDM payload for a server at `url`."""
    content = {
        "IdentityCertificateUUID": identity["PayloadUUID"],
        "Topic": TOPIC,
        "ServerURL": f"{url}/mdm",
        "AccessRights": 8191,
        "SignMessage": True,
        "CheckOutWhenRemoved": True,
        **keys_,
    }
    return payload("com.apple.mdm", **content)


@dataclass(slots=True, kw_only=True)
class FakeMdm:
    """Answers by script, message by message, else 200; commands are handed out in order."""

    url: str = ""
    root: x509.Certificate
    received: list[dict[str, Any]] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)  # TLS client certificates
    scripts: dict[str, deque[web.Response]] = field(default_factory=dict)
    commands: deque[dict[str, Any]] = field(default_factory=deque)
    cut_off: int = 0  # requests whose body never came to its end

    def script(self, message: str, *answers: web.Response) -> None:
        """Answer the next messages of this type or status so."""
        self.scripts.setdefault(message, deque()).extend(answers)

    def command(self, request_type: str, **keys_: Any) -> str:
        """Queue a command; returns its UUID."""
        command_uuid = str(uuid.uuid4())
        command = {"RequestType": request_type, **keys_}
        self.commands.append({"CommandUUID": command_uuid, "Command": command})
        return command_uuid

    def of(self, message: str) -> list[dict[str, Any]]:
        """What was received of one type or status."""
        return [each for each in self.received if kind(each) == message]

    def source(self, **keys_: Any) -> ProfileSource:
        """An enrollment profile with a PKCS#12 identity."""
        identity = pkcs12_payload()
        root = payload(
            "com.apple.security.root", PayloadContent=self.root.public_bytes(Encoding.DER)
        )
        return ProfileSource(data=profile(root, identity, mdm_payload(self.url, identity, **keys_)))

    async def handle(self, request: web.Request) -> web.Response:
        """Take one message."""
        try:
            message = plistlib.loads(await request.read())
        except OSError:
            self.cut_off += 1
            raise
        self.received.append(message)
        assert request.transport is not None
        self.shown.append(request.transport.get_extra_info("peercert"))
        script = self.scripts.get(kind(message))
        if script:
            return script.popleft()
        if "MessageType" in message:
            return web.Response()
        if self.commands and self.commands[0]["CommandUUID"] == message.get("CommandUUID"):
            done = self.commands.popleft()
            if message["Status"] == "NotNow":
                self.commands.append(done)
                return web.Response()
        if not self.commands:
            return web.Response()
        return web.Response(body=plistlib.dumps(self.commands[0]), content_type="application/xml")


def kind(message: Mapping[str, Any]) -> str:
    """The type of a check-in message, or the status of a report."""
    return str(message.get("MessageType") or message["Status"])


@contextlib.asynccontextmanager
async def fake_mdm(folder: Path) -> AsyncIterator[FakeMdm]:
    """A running fake server with TLS, which looks at client certificates but needs none."""
    authority = ApnsAuthority()
    pair = authority.server()
    (folder / "tls.pem").write_bytes(pair.certificate_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    context.load_verify_locations(cadata=keys_pem())
    context.verify_mode = ssl.CERT_OPTIONAL
    fake = FakeMdm(root=x509.load_pem_x509_certificate(authority.certificate_pem))
    application = web.Application()
    application.router.add_put("/mdm", fake.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    fake.url = f"https://localhost:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def keys_pem() -> str:
    """The device's self-signed certificate, as the anchor to verify it with."""
    return IDENTITY.certificate.public_bytes(Encoding.PEM).decode()
