"""SCEP messages as a client writes and reads them (RFC 8894); nothing here uses a network."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import cms, der
from appliance.simulator.failures import MessageRefused
from appliance.simulator.keys import Identity, PrivateKey

PKCS_REQ = "19"
RENEWAL_REQ = "17"
CERT_POLL = "20"

MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
PKI_STATUS = "2.16.840.1.113733.1.9.3"
FAIL_INFO = "2.16.840.1.113733.1.9.4"
SENDER_NONCE = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID = "2.16.840.1.113733.1.9.7"

SUCCESS, FAILURE, PENDING = "0", "2", "3"  # RFC 8894, section 3.2.1.3

_CHALLENGE_PASSWORD = x509.ObjectIdentifier("1.2.840.113549.1.9.7")


def certificate_request(
    key: PrivateKey,
    subject: x509.Name,
    challenge: str | None,
    *,
    digest: str = "sha256",
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A PKCS#10 request; `challenge` None leaves the attribute out."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge is not None:
        builder = builder.add_attribute(_CHALLENGE_PASSWORD, challenge.encode())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    algorithm = cms.DIGESTS[digest].algorithm
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA512):
        algorithm = hashes.SHA256()  # no library signs requests with less any more
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def issuer_and_subject(authority: x509.Certificate, subject: x509.Name) -> bytes:
    """What a CertPoll asks about."""
    return der.sequence(authority.subject.public_bytes(), subject.public_bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class PkiMessage:
    """One request and what is needed to check its answer."""

    der: bytes
    signer: Identity
    transaction_id: str
    sender_nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One transaction: who asks, how it signs and encrypts, and when it thinks it is."""

    signer: Identity
    digest: str = "sha256"
    cipher: str = "aes128"
    signed_at: datetime | None = None
    transaction_id: str = field(default_factory=lambda: secrets.token_hex(20))


def request_attributes(
    sealed: bytes, digest: str, message_type: str | None, transaction_id: str, nonce: bytes
) -> list[bytes]:
    """The signed attributes of a request; `message_type` None leaves that one out."""
    attributes = cms.basic_attributes(sealed, digest)
    if message_type is not None:
        attributes.append(cms.attribute(MESSAGE_TYPE, der.printable(message_type)))
    attributes.append(cms.attribute(TRANSACTION_ID, der.printable(transaction_id)))
    attributes.append(cms.attribute(SENDER_NONCE, der.octets(nonce)))
    return attributes


def pki_message(
    content: bytes, recipient: x509.Certificate, sender: Sender, message_type: str = PKCS_REQ
) -> PkiMessage:
    """Encrypt `content` to the authority and sign the whole."""
    sealed = cms.envelope(content, recipient, sender.cipher)
    nonce = secrets.token_bytes(16)
    attributes = request_attributes(
        sealed, sender.digest, message_type, sender.transaction_id, nonce
    )
    if sender.signed_at is not None:
        attributes.append(cms.signing_time(sender.signed_at))
    signer = cms.Signer(identity=sender.signer, digest=sender.digest, attributes=attributes)
    return PkiMessage(
        der=cms.signed_data(sealed, [signer]),
        signer=sender.signer,
        transaction_id=sender.transaction_id,
        sender_nonce=nonce,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CertRep:
    """A verified answer."""

    status: str
    fail_info: str | None
    certificates: Sequence[x509.Certificate]
    opened: cms.Opened | None
    digest: str


def read_reply(
    reply: bytes, message: PkiMessage, authorities: Sequence[x509.Certificate]
) -> CertRep:
    """Verify signature, transaction and nonce of a CertRep, then open its envelope.

    Raises MessageRefused for an answer that a client must not believe.
    """
    verified = cms.verify(reply)
    attributes = verified.attributes
    _demand(verified.signer in authorities, "it is not signed by the authority")
    _demand(attributes.get(MESSAGE_TYPE) == b"3", "its messageType is not CertRep")
    transaction = message.transaction_id.encode("latin-1")
    _demand(attributes.get(TRANSACTION_ID) == transaction, "it is of another transaction")
    _demand(attributes.get(RECIPIENT_NONCE) == message.sender_nonce, "its nonce is not ours")
    status = attributes.get(PKI_STATUS, b"").decode("latin-1")
    _demand(status in (SUCCESS, FAILURE, PENDING), "its pkiStatus is unknown")
    certificates: list[x509.Certificate] = []
    opened = None
    if status == SUCCESS:
        _demand(verified.content is not None, "it has no content")
        opened = cms.open_envelope(verified.content or b"", message.signer)
        certificates = cms.certificates_of(opened.content)
    return CertRep(
        status=status,
        fail_info=attributes.get(FAIL_INFO, b"").decode("latin-1") or None,
        certificates=certificates,
        opened=opened,
        digest=verified.digest,
    )


def _demand(holds: bool, complaint: str) -> None:
    if not holds:
        raise MessageRefused(f"the SCEP answer is not acceptable: {complaint}")
