"""CMS SignedData and EnvelopedData as a device makes and reads them (RFC 5652)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import cms, core, parser
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import der
from appliance.simulator.failures import MessageRefused
from appliance.simulator.keys import Identity, PrivateKey

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One hash algorithm and the signature algorithms that contain it."""

    oid: str
    algorithm: hashes.HashAlgorithm
    rsa_oid: str
    ecdsa_oid: str


DIGESTS = {
    "sha1": Digest(
        oid="1.3.14.3.2.26",
        algorithm=hashes.SHA1(),  # noqa: S303 - Apple's devices sign with it
        rsa_oid="1.2.840.113549.1.1.5",
        ecdsa_oid="1.2.840.10045.4.1",
    ),
    "sha256": Digest(
        oid="2.16.840.1.101.3.4.2.1",
        algorithm=hashes.SHA256(),
        rsa_oid="1.2.840.113549.1.1.11",
        ecdsa_oid="1.2.840.10045.4.3.2",
    ),
    "sha512": Digest(
        oid="2.16.840.1.101.3.4.2.3",
        algorithm=hashes.SHA512(),
        rsa_oid="1.2.840.113549.1.1.13",
        ecdsa_oid="1.2.840.10045.4.3.4",
    ),
}
_DIGEST_NAMES = {digest.oid: name for name, digest in DIGESTS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs and how; `attributes` None signs the content itself."""

    identity: Identity
    digest: str = "sha256"
    attributes: Sequence[bytes] | None = None
    signature_digest: str | None = None  # only a hostile signer names another one


def attribute(dotted: str, *values: bytes) -> bytes:
    """One signed attribute."""
    return der.sequence(der.oid(dotted), der.tlv(der.SET, *values))


def digest_of(content: bytes, digest: str) -> bytes:
    """Hash of the content."""
    return hashlib.new(digest, content).digest()


def basic_attributes(content: bytes, digest: str) -> list[bytes]:
    """The two attributes that RFC 5652 demands as soon as there are any."""
    return [
        attribute(CONTENT_TYPE, der.oid(der.DATA)),
        attribute(MESSAGE_DIGEST, der.octets(digest_of(content, digest))),
    ]


def signing_time(moment: datetime) -> bytes:
    """The attribute that says when the signer thinks it is."""
    return attribute(SIGNING_TIME, core.UTCTime(moment.astimezone(UTC)).dump())


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber."""
    return der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))


def _signature(key: PrivateKey, message: bytes, digest: Digest) -> tuple[str, bytes]:
    if isinstance(key, rsa.RSAPrivateKey):
        return digest.rsa_oid, key.sign(message, padding.PKCS1v15(), digest.algorithm)
    return digest.ecdsa_oid, key.sign(message, ec.ECDSA(digest.algorithm))


def signer_info(signer: Signer, content: bytes) -> bytes:
    """One SignerInfo over the content."""
    digest = DIGESTS[signer.digest]
    message, attributes = content, b""
    if signer.attributes is not None:
        # Carried as IMPLICIT [0], signed as SET OF.
        message = der.set_of(signer.attributes)
        attributes = b"\xa0" + message[1:]
    used = DIGESTS[signer.signature_digest] if signer.signature_digest else digest
    signature_oid, signature = _signature(signer.identity.key, message, used)
    return der.sequence(
        der.integer(1),
        issuer_and_serial(signer.identity.certificate),
        der.algorithm(digest.oid),
        attributes,
        der.algorithm(signature_oid),
        der.octets(signature),
    )


def signed_data(
    content: bytes | None,
    signers: Sequence[Signer],
    *,
    detached: bool = False,
    certificates: Sequence[bytes] | None = None,
    indefinite: bool = False,
) -> bytes:
    """ContentInfo with SignedData; `certificates` are DER, by default those of the signers."""
    wrap = der.indefinite if indefinite else der.tlv
    if certificates is None:
        certificates = [signer.identity.der for signer in signers]
    encapsulated = b""
    if content is not None and not detached:
        encapsulated = wrap(0xA0, der.octets(content))
    body = wrap(
        der.SEQUENCE,
        der.integer(1),
        der.set_of({der.algorithm(DIGESTS[signer.digest].oid) for signer in signers}),
        wrap(der.SEQUENCE, der.oid(der.DATA), encapsulated),
        wrap(0xA0, *certificates),
        der.tlv(der.SET, *(signer_info(signer, content or b"") for signer in signers)),
    )
    return wrap(der.SEQUENCE, der.oid(der.SIGNED_DATA), wrap(0xA0, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a SignedData holds once its signature has been checked."""

    content: bytes | None
    signer: x509.Certificate
    certificates: Sequence[x509.Certificate]
    attributes: dict[str, bytes]  # contents octets of the first value
    digest: str


def verify(message: bytes) -> Verified:
    """Check the only signer's signature over an attached content; MessageRefused when wrong."""
    try:
        return _verify(message)
    except InvalidSignature as error:
        raise MessageRefused("the signature does not match") from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise MessageRefused(f"not a signed message of one signer: {error}") from error


def _verify(message: bytes) -> Verified:
    signed = cms.ContentInfo.load(message, strict=True)["content"]
    certificates = certificates_of(message)
    (info,) = signed["signer_infos"]
    serial = info["sid"].chosen["serial_number"].native
    (signer,) = [each for each in certificates if each.serial_number == serial]
    content = signed["encap_content_info"]["content"].native
    digest = _DIGEST_NAMES[info["digest_algorithm"]["algorithm"].dotted]
    attributes = {
        each["type"].dotted: parser.parse(each["values"][0].dump())[4]
        for each in info["signed_attrs"]
    }
    message_bytes = content or b""
    if attributes:
        if attributes[MESSAGE_DIGEST] != digest_of(message_bytes, digest):
            raise MessageRefused("messageDigest is not that of the content")
        message_bytes = b"\x31" + info["signed_attrs"].dump()[1:]
    _check_signature(signer, info["signature"].native, message_bytes, digest)
    return Verified(
        content=content,
        signer=signer,
        certificates=certificates,
        attributes=attributes,
        digest=digest,
    )


def _check_signature(
    signer: x509.Certificate, signature: bytes, message: bytes, digest: str
) -> None:
    algorithm = DIGESTS[digest].algorithm
    public_key = signer.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, message, padding.PKCS1v15(), algorithm)
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        public_key.verify(signature, message, ec.ECDSA(algorithm))
    else:
        raise MessageRefused("the signer's key is neither RSA nor EC")


def certificates_of(message: bytes) -> list[x509.Certificate]:
    """The certificates in a SignedData, in their order; also of a certs-only one."""
    signed = cms.ContentInfo.load(message)["content"]
    return [x509.load_der_x509_certificate(each.dump()) for each in signed["certificates"]]


def unverified_content(message: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The content of a SignedData and its certificates as DER; MessageRefused if it is none."""
    try:
        signed = cms.ContentInfo.load(message)["content"]
        content = signed["encap_content_info"]["content"].native
        return content or b"", tuple(each.dump() for each in signed["certificates"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MessageRefused(f"not a signed message: {error}") from error


_CIPHERS: dict[str, tuple[str, int, int]] = {  # OID, key octets, block octets
    "aes128": ("2.16.840.1.101.3.4.1.2", 16, 16),
    "aes192": ("2.16.840.1.101.3.4.1.22", 24, 16),
    "aes256": ("2.16.840.1.101.3.4.1.42", 32, 16),
    "3des": ("1.2.840.113549.3.7", 24, 8),
    "des": ("1.3.14.3.2.7", 8, 8),
}
_CIPHER_NAMES = {oid: name for name, (oid, _, _) in _CIPHERS.items()}


def _cbc(cipher: str, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    if cipher.startswith("aes"):
        return Cipher(algorithms.AES(key), modes.CBC(iv))
    # Single DES is triple DES with one key three times.
    return Cipher(TripleDES(key * 3 if len(key) == 8 else key), modes.CBC(iv))


def envelope(
    content: bytes,
    recipient: x509.Certificate,
    cipher: str = "aes256",
    *,
    constructed: bool = False,
) -> bytes:
    """EnvelopedData for one RSA recipient; `constructed` splits the ciphertext in two."""
    oid, key_size, block_size = _CIPHERS[cipher]
    key, iv = os.urandom(key_size), os.urandom(block_size)
    padder = PKCS7(block_size * 8).padder()
    encryptor = _cbc(cipher, key, iv).encryptor()
    encrypted = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    public_key = recipient.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise MessageRefused("a SCEP authority must have an RSA key")
    octets = der.tlv(0x80, encrypted)
    if constructed:
        octets = der.tlv(0xA0, der.octets(encrypted[:16]), der.octets(encrypted[16:]))
    recipient_info = der.sequence(
        der.integer(0),
        issuer_and_serial(recipient),
        der.algorithm("1.2.840.113549.1.1.1"),
        der.octets(public_key.encrypt(key, padding.PKCS1v15())),
    )
    body = der.sequence(
        der.integer(0),
        der.tlv(der.SET, recipient_info),
        der.sequence(der.oid(der.DATA), der.algorithm(oid, der.octets(iv)), octets),
    )
    return der.sequence(der.oid(der.ENVELOPED_DATA), der.tlv(0xA0, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What an EnvelopedData held, and how."""

    content: bytes
    cipher: str
    constructed: bool


def open_envelope(message: bytes, recipient: Identity) -> Opened:
    """Open an EnvelopedData that is addressed to `recipient`; MessageRefused if it is not."""
    try:
        return _open(message, recipient)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise MessageRefused(f"the envelope cannot be opened: {error}") from error


def _open(message: bytes, recipient: Identity) -> Opened:
    enveloped = cms.ContentInfo.load(message, strict=True)["content"]
    (info,) = enveloped["recipient_infos"]
    serial = info.chosen["rid"].chosen["serial_number"].native
    if serial != recipient.certificate.serial_number or not isinstance(
        recipient.key, rsa.RSAPrivateKey
    ):
        raise MessageRefused("the envelope is addressed to somebody else")
    key = recipient.key.decrypt(info.chosen["encrypted_key"].native, padding.PKCS1v15())
    encrypted = enveloped["encrypted_content_info"]
    algorithm = encrypted["content_encryption_algorithm"]
    cipher = _CIPHER_NAMES[algorithm["algorithm"].dotted]
    decryptor = _cbc(cipher, key, algorithm["parameters"].native).decryptor()
    ciphertext, constructed = _ciphertext(encrypted.dump())
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = PKCS7(_CIPHERS[cipher][2] * 8).unpadder()
    return Opened(
        content=unpadder.update(padded) + unpadder.finalize(),
        cipher=cipher,
        constructed=constructed,
    )


def _elements(contents: bytes) -> list[tuple[int, bytes]]:
    """First octet and contents of the elements that stand one after the other."""
    found = []
    while contents:
        _, _, _, header, inner, trailer = parser.parse(contents)
        found.append((header[0], inner))
        contents = contents[len(header) + len(inner) + len(trailer) :]
    return found


def _ciphertext(encrypted_content_info: bytes) -> tuple[bytes, bool]:
    """The ciphertext, and whether it came in parts, which asn1crypto does not read."""
    ((_, contents),) = _elements(encrypted_content_info)
    tag, ciphertext = _elements(contents)[2]
    if tag == 0x80:
        return ciphertext, False
    if tag != 0xA0:
        raise ValueError("no ciphertext")
    return b"".join(part for _, part in _elements(ciphertext)), True


def sign_body(
    body: bytes,
    identity: Identity,
    *,
    digest: str = "sha256",
    attributes: bool = False,
    indefinite: bool = False,
    signed_at: datetime | None = None,
) -> bytes:
    """The value of `Mdm-Signature` before base64: detached, over the body byte for byte."""
    signed = basic_attributes(body, digest) if attributes or signed_at else None
    if signed is not None and signed_at is not None:
        signed.append(signing_time(signed_at))
    signer = Signer(identity=identity, digest=digest, attributes=signed)
    return signed_data(body, [signer], detached=True, indefinite=indefinite)


def encoded(certificate: x509.Certificate) -> bytes:
    """DER of one certificate."""
    return certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> bytes:
    """PEM of one certificate."""
    return certificate.public_bytes(Encoding.PEM)
