"""A SCEP client (RFC 8894) that can also say what no honest client says."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import yarl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from . import cms, der
from .keys import Identity, Pair, PrivateKey, name, rsa_key, self_signed

PKCS_REQ = "19"
RENEWAL_REQ = "17"

MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
PKI_STATUS = "2.16.840.1.113733.1.9.3"
FAIL_INFO = "2.16.840.1.113733.1.9.4"
SENDER_NONCE = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID = "2.16.840.1.113733.1.9.7"

# RFC 8894 section 3.2.1.4
BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = "0", "1", "2", "3", "4"


class ScepFailure(Exception):
    """The server refused: HTTP status, or failInfo of a signed CertRep."""

    def __init__(self, *, status: int, fail_info: str | None = None, body: bytes = b"") -> None:
        super().__init__(f"HTTP {status}, failInfo {fail_info}: {body[:200]!r}")
        self.status = status
        self.fail_info = fail_info


@dataclass(frozen=True, slots=True, kw_only=True)
class PkiMessage:
    """One request and what is needed to check its answer."""

    der: bytes
    signer: Identity
    key: PrivateKey
    transaction_id: str
    sender_nonce: bytes


@dataclass(kw_only=True)
class Options:
    """How to build a request; the defaults are those of a current client."""

    digest: str = "sha256"
    cipher: str = "aes256"
    message_type: str | None = PKCS_REQ  # None leaves the attribute out
    transaction_id: str = field(default_factory=lambda: secrets.token_hex(20))
    sender_nonce: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    constructed: bool = False
    change_attributes: Callable[[list[bytes]], list[bytes]] = list
    signature_digest: str | None = None
    sign_attributes: bool = True
    extra_signers: Sequence[Identity] = ()
    certificates: Sequence[bytes] | None = None
    envelope: bytes | None = None


def certificate_request(
    key: PrivateKey, subject: x509.Name, challenge: str | None, *, digest: str = "sha256"
) -> bytes:
    """A PKCS#10 request; `challenge` None leaves the attribute out."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge is not None:
        password = x509.ObjectIdentifier("1.2.840.113549.1.9.7")
        builder = builder.add_attribute(password, challenge.encode())
    algorithm = cms.DIGESTS[digest].algorithm
    assert isinstance(algorithm, hashes.SHA256 | hashes.SHA512)
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def pki_message(
    request: bytes, key: PrivateKey, authority: x509.Certificate, signer: Identity, options: Options
) -> PkiMessage:
    """Encrypt the request to the authority and sign the whole."""
    sealed = options.envelope or cms.envelope(
        request, authority, options.cipher, constructed=options.constructed
    )
    signers = []
    for identity in (signer, *options.extra_signers):
        attributes = cms.basic_attributes(sealed, options.digest)
        if options.message_type is not None:
            attributes.append(cms.attribute(MESSAGE_TYPE, der.printable(options.message_type)))
        attributes.append(cms.attribute(TRANSACTION_ID, der.printable(options.transaction_id)))
        attributes.append(cms.attribute(SENDER_NONCE, der.octets(options.sender_nonce)))
        attributes = options.change_attributes(attributes)
        signers.append(
            cms.Signer(
                identity=identity,
                digest=options.digest,
                attributes=attributes if options.sign_attributes else None,
                signature_digest=options.signature_digest,
            )
        )
    return PkiMessage(
        der=cms.signed_data(sealed, signers, certificates=options.certificates),
        signer=signer,
        key=key,
        transaction_id=options.transaction_id,
        sender_nonce=options.sender_nonce,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CertRep:
    """A verified answer."""

    status: str
    fail_info: str | None
    certificates: Sequence[x509.Certificate]
    opened: cms.Opened | None
    digest: str


def read_reply(reply: bytes, message: PkiMessage, authority: x509.Certificate) -> CertRep:
    """Verify signature, transaction and nonces of a CertRep, then open its envelope."""
    verified = cms.verify(reply)
    attributes = verified.attributes
    assert verified.signer == authority, "signed by the authority"
    assert attributes[MESSAGE_TYPE] == b"3"
    assert attributes[TRANSACTION_ID] == message.transaction_id.encode("latin-1")
    assert attributes[RECIPIENT_NONCE] == message.sender_nonce
    assert len(attributes[SENDER_NONCE]) >= 16
    status = attributes[PKI_STATUS].decode()
    certificates: list[x509.Certificate] = []
    opened = None
    if status == "0":
        assert verified.content is not None
        opened = cms.open_envelope(verified.content, message.signer)
        certificates = cms.certificates_of(opened.content)
    fail_info = attributes.get(FAIL_INFO, b"").decode() or None
    return CertRep(
        status=status,
        fail_info=fail_info,
        certificates=certificates,
        opened=opened,
        digest=verified.digest,
    )


class ScepClient:
    """Talks to one SCEP URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, get: bool = False) -> None:
        self._session = session
        self._url = url
        self._get = get

    async def operation(self, operation: str, message: str | None = None) -> tuple[int, str, bytes]:
        """GET one operation: status, content type, body. `message` is sent as it stands."""
        separator = "&" if "?" in self._url else "?"
        url = f"{self._url}{separator}operation={operation}"
        if message is not None:
            url += f"&message={message}"
        async with self._session.get(yarl.URL(url, encoded=True)) as response:
            return response.status, response.content_type, await response.read()

    async def capabilities(self) -> set[str]:
        """GetCACaps."""
        status, _, body = await self.operation("GetCACaps")
        assert status == 200, body
        return set(body.decode().split())

    async def authority(self) -> x509.Certificate:
        """GetCACert, of a server with a single certificate."""
        status, content_type, body = await self.operation("GetCACert")
        assert (status, content_type) == (200, "application/x-x509-ca-cert"), body
        return x509.load_der_x509_certificate(body)

    async def post(self, message: bytes) -> tuple[int, bytes]:
        """PKIOperation by POST, or by GET when the client was made so."""
        if self._get:
            # macOS escapes only "=", and leaves "+" and "/" as they are.
            text = base64.b64encode(message).decode().replace("=", "%3D")
            status, _, body = await self.operation("PKIOperation", text)
            return status, body
        url = f"{self._url}{'&' if '?' in self._url else '?'}operation=PKIOperation"
        headers = {"Content-Type": "application/x-pki-message"}
        async with self._session.post(url, data=message, headers=headers) as response:
            return response.status, await response.read()

    async def exchange(self, message: PkiMessage, authority: x509.Certificate) -> CertRep:
        """Send one message and return the verified answer; ScepFailure on any refusal."""
        status, body = await self.post(message.der)
        if status != 200:
            raise ScepFailure(status=status, body=body)
        reply = read_reply(body, message, authority)
        if reply.status != "0":
            raise ScepFailure(status=200, fail_info=reply.fail_info)
        return reply

    async def enroll(
        self,
        challenge: str | None,
        *,
        subject: Sequence[Pair] = (("CN", "device"),),
        key: PrivateKey | None = None,
        signer: Identity | None = None,
        options: Options | None = None,
        request: bytes | None = None,
    ) -> Identity:
        """PKCSReq: an identity for a challenge."""
        key = key or rsa_key()
        signer = signer or self_signed(name(*subject), key)
        request = request or certificate_request(key, name(*subject), challenge)
        authority = await self.authority()
        message = pki_message(request, key, authority, signer, options or Options())
        reply = await self.exchange(message, authority)
        certificate = reply.certificates[0]
        assert certificate.public_key() == key.public_key(), "issued for the requested key"
        return Identity(certificate=certificate, key=key)

    async def renew(
        self,
        identity: Identity,
        *,
        challenge: str | None = None,
        key: PrivateKey | None = None,
        subject: x509.Name | None = None,
        options: Options | None = None,
    ) -> Identity:
        """RenewalReq signed by the identity which it replaces."""
        key = key or rsa_key()
        request = certificate_request(key, subject or identity.certificate.subject, challenge)
        authority = await self.authority()
        options = options or Options(message_type=RENEWAL_REQ)
        message = pki_message(request, key, authority, identity, options)
        reply = await self.exchange(message, authority)
        return Identity(certificate=reply.certificates[0], key=key)
