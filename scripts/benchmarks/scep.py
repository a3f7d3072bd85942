"""CMS and SCEP on the client's side: messages built beforehand, certificates taken out."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from collections.abc import Mapping

from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import AttributeOID, NameOID

_DER = serialization.Encoding.DER
_SHA256 = bytes.fromhex("300d06096086480165030402010500")  # AlgorithmIdentifier, with NULL
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_DATA = bytes.fromhex("06092a864886f70d010701")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_SIGNING_TIME = bytes.fromhex("06092a864886f70d010905")
_SCEP_ATTRIBUTE = bytes.fromhex("060a6086480186f845010900")  # last byte: which one
_MESSAGE_TYPE, _SENDER_NONCE, _TRANSACTION_ID = 2, 5, 7


def tlv(tag: int, *content: bytes) -> bytes:
    """One DER element."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def self_signed(key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    """The temporary certificate with which a first request is signed."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(64) | 1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def pkcs_req(
    key: rsa.RSAPrivateKey,
    signer: x509.Certificate,
    ca: x509.Certificate,
    *,
    name: str,
    challenge: str,
) -> bytes:
    """A PKCSReq with AES-128 and SHA-256, as RFC 8894 section 3.3.1 has it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
        .sign(key, hashes.SHA256())
    )
    envelope = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(csr.public_bytes(_DER))
        .add_recipient(ca)
        .set_content_encryption_algorithm(AES128)
        .encrypt(_DER, [pkcs7.PKCS7Options.Binary])
    )
    attributes = (
        _scep_attribute(_MESSAGE_TYPE, tlv(0x13, b"19")),
        _scep_attribute(_SENDER_NONCE, tlv(4, secrets.token_bytes(16))),
        _scep_attribute(_TRANSACTION_ID, tlv(0x13, secrets.token_hex(20).encode())),
    )
    return signed_data(envelope, key, signer, *attributes)


def signing_time(at: datetime.datetime) -> bytes:
    """The signed attribute that makes every signature of a device another one."""
    return tlv(0x30, _SIGNING_TIME, tlv(0x31, tlv(0x17, at.strftime("%y%m%d%H%M%SZ").encode())))


def signed_data(
    content: bytes,
    key: rsa.RSAPrivateKey,
    signer: x509.Certificate,
    *further: bytes,
    detached: bool = False,
) -> bytes:
    """CMS SignedData with SHA-256, the usual signed attributes and `further` ones."""
    digest = tlv(4, hashlib.sha256(content).digest())
    usual = (
        tlv(0x30, _CONTENT_TYPE, tlv(0x31, _DATA)),
        tlv(0x30, _MESSAGE_DIGEST, tlv(0x31, digest)),
    )
    attributes = b"".join(sorted((*usual, *further)))
    # Signed as SET OF, carried as IMPLICIT [0]: RFC 5652 section 5.4.
    signature = key.sign(tlv(0x31, attributes), padding.PKCS1v15(), hashes.SHA256())
    serial = signer.serial_number
    identifier = tlv(
        0x30,
        signer.issuer.public_bytes(),
        tlv(2, serial.to_bytes(serial.bit_length() // 8 + 1, "big")),
    )
    version = tlv(2, b"\x01")
    signer_info = tlv(
        0x30, version, identifier, _SHA256, tlv(0xA0, attributes), _RSA, tlv(4, signature)
    )
    encapsulated = b"" if detached else tlv(0xA0, tlv(4, content))
    body = tlv(
        0x30,
        version,
        tlv(0x31, _SHA256),
        tlv(0x30, _DATA, encapsulated),
        tlv(0xA0, signer.public_bytes(_DER)),
        tlv(0x31, signer_info),
    )
    return tlv(0x30, _SIGNED_DATA, tlv(0xA0, body))


def _scep_attribute(which: int, value: bytes) -> bytes:
    return tlv(0x30, _SCEP_ATTRIBUTE[:-1] + bytes((which,)), tlv(0x31, value))


def issued(
    answer: bytes, signers: Mapping[int, tuple[x509.Certificate, rsa.RSAPrivateKey]]
) -> x509.Certificate | None:
    """The certificate in a CertRep to one of `signers`, by serial number; None for a refusal."""
    content = cms.ContentInfo.load(answer)["content"]["encap_content_info"]["content"].native
    if not content:
        return None
    recipient = cms.ContentInfo.load(content)["content"]["recipient_infos"][0].chosen
    serial = recipient["rid"].chosen["serial_number"].native
    signer, key = signers[serial]
    opened = pkcs7.pkcs7_decrypt_der(content, signer, key, [])
    mine = signer.public_key()
    certificates = pkcs7.load_der_pkcs7_certificates(opened)
    return next((found for found in certificates if found.public_key() == mine), None)
