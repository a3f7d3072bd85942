"""A SCEP server that says whatever a test wants: first pending, then a certificate, or nonsense."""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import cms, der, keys, scep

CAPABILITIES = b"POSTPKIOperation\nSHA-256\nAES\n"


def authority() -> keys.Identity:
    """A CA that signs, and decrypts what is sent to it."""
    key, name = keys.rsa_key(), keys.name(("CN", "Slow CA"))
    builder = keys.certificate_builder(name, name, key)
    return keys.Identity(certificate=builder.sign(key, hashes.SHA256()), key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One PKIOperation as it was understood."""

    message_type: str
    transaction_id: bytes
    content: bytes


@dataclass(slots=True, kw_only=True)
class FakeScep:
    """Answers PKIOperation by script: one word for each message, "issue" when it is over.

    pending, issue, refuse, or strange: issued, but with a nonce that nobody sent.
    """

    script: deque[str] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    ca: keys.Identity = field(default_factory=authority)
    _request: x509.CertificateSigningRequest | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """One request, told apart by `operation`."""
        match request.query["operation"]:
            case "GetCACaps":
                return web.Response(body=CAPABILITIES)
            case "GetCACert":
                return web.Response(body=self.ca.der)
            case _:
                body = self._answer(await request.read())
                return web.Response(body=body, content_type="application/x-pki-message")

    def _answer(self, message: bytes) -> bytes:
        verified = cms.verify(message)
        content = cms.open_envelope(verified.content or b"", self.ca).content
        asked = Asked(
            message_type=verified.attributes[scep.MESSAGE_TYPE].decode(),
            transaction_id=verified.attributes[scep.TRANSACTION_ID],
            content=content,
        )
        self.asked.append(asked)
        if asked.message_type == scep.PKCS_REQ:
            self._request = x509.load_der_x509_csr(content)
        word = self.script.popleft() if self.script else "issue"
        nonce = verified.attributes[scep.SENDER_NONCE]
        status = {"pending": scep.PENDING, "refuse": scep.FAILURE}.get(word, scep.SUCCESS)
        sealed = b""
        if status == scep.SUCCESS:
            sealed = cms.envelope(self._issued(), verified.signer, "aes128")
        attributes = [
            *cms.basic_attributes(sealed, "sha256"),
            cms.attribute(scep.MESSAGE_TYPE, der.printable("3")),
            cms.attribute(scep.TRANSACTION_ID, der.printable(asked.transaction_id.decode())),
            cms.attribute(scep.PKI_STATUS, der.printable(status)),
            cms.attribute(
                scep.RECIPIENT_NONCE,
                der.octets(secrets.token_bytes(16) if word == "strange" else nonce),
            ),
            cms.attribute(scep.SENDER_NONCE, der.octets(secrets.token_bytes(16))),
        ]
        if status == scep.FAILURE:
            attributes.append(cms.attribute(scep.FAIL_INFO, der.printable("2")))
        signer = cms.Signer(identity=self.ca, attributes=attributes)
        return cms.signed_data(sealed or None, [signer])

    def _issued(self) -> bytes:
        request = self._request
        assert request is not None
        issued = _for_key(request, self.ca)
        return cms.signed_data(None, [], certificates=[issued.public_bytes(Encoding.DER)])


def _for_key(request: x509.CertificateSigningRequest, ca: keys.Identity) -> x509.Certificate:
    template = ca.certificate
    return (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(template.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
        .sign(ca.key, hashes.SHA256())
    )


@contextlib.asynccontextmanager
async def fake_scep(*script: str) -> AsyncIterator[FakeScep]:
    """A running responder with this script."""
    fake = FakeScep(script=deque(script))
    application = web.Application()
    application.router.add_route("*", "/scep", fake.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/scep"
    try:
        yield fake
    finally:
        await runner.cleanup()
