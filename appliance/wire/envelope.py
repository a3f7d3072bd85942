"""CMS EnvelopedData as SCEP uses it: RSA key transport and a CBC cipher."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from appliance.errors import MalformedMessage, UnsupportedAlgorithm
from appliance.wire import asn1, der
from appliance.wire.ber import join_octet_strings
from appliance.wire.cms import Signer


class Cipher(StrEnum):
    """The content ciphers that SCEP clients send."""

    AES_128 = "aes-128-cbc"
    AES_192 = "aes-192-cbc"
    AES_256 = "aes-256-cbc"
    TRIPLE_DES = "des-ede3-cbc"
    DES = "des-cbc"  # read only, and only from old clients; answered in 3DES


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The plaintext, and the cipher to answer in."""

    content: bytes
    cipher: Cipher


_OIDS: Mapping[Cipher, x509.ObjectIdentifier] = {
    Cipher.AES_128: x509.ObjectIdentifier("2.16.840.1.101.3.4.1.2"),
    Cipher.AES_192: x509.ObjectIdentifier("2.16.840.1.101.3.4.1.22"),
    Cipher.AES_256: x509.ObjectIdentifier("2.16.840.1.101.3.4.1.42"),
    Cipher.TRIPLE_DES: x509.ObjectIdentifier("1.2.840.113549.3.7"),
    Cipher.DES: x509.ObjectIdentifier("1.3.14.3.2.7"),
}
_CIPHERS = {oid: cipher for cipher, oid in _OIDS.items()}
_KEY_BYTES: Mapping[Cipher, int] = {
    Cipher.AES_128: 16,
    Cipher.AES_192: 24,
    Cipher.AES_256: 32,
    Cipher.TRIPLE_DES: 24,
    Cipher.DES: 8,
}
_RSA_ENCRYPTION = x509.ObjectIdentifier("1.2.840.113549.1.1.1")
_MAX_RECIPIENTS = 10
_DES_CIPHERS = (Cipher.TRIPLE_DES, Cipher.DES)
_KEY_TRANSPORT_TAG = b"\x30"
_PRIMITIVE_TAG, _CONSTRUCTED_TAG = b"\x80", b"\xa0"
_PKCS1 = padding.PKCS1v15()
_VERSION = der.integer(0)


def open_envelope(
    der: bytes, certificate: x509.Certificate, key: rsa.RSAPrivateKey, *, legacy: bool
) -> Opened:
    """Return the content of an envelope addressed to `certificate`.

    A wrong content key, wrong padding and a wrong key length all end in the same error after
    the same work, so an answer tells nothing about the key (Bleichenbacher, Vaudenay).
    Nothing is authenticated: an envelope proves nothing about who sealed it.

    Args:
        der: ContentInfo, DER or BER, holding EnvelopedData.
        legacy: also open single DES.

    Raises:
        MalformedMessage: not such a message, not addressed to us, or it does not decrypt.
        UnsupportedAlgorithm: another cipher or another way to transport the key.

    Source: RFC 5652 sections 6.1 to 6.3; RFC 3218 section 2.3.2.
    """
    message = asn1.decode_message(asn1.EnvelopedMessage, der)
    if message.content_type != asn1.ENVELOPED_DATA:
        raise MalformedMessage("not CMS EnvelopedData")
    encrypted = message.content.encrypted
    cipher, iv = _cipher_and_iv(encrypted.content_encryption_algorithm, legacy=legacy)
    ciphertext = _ciphertext(encrypted.encrypted_content)
    encrypted_key = _encrypted_key(message.content.recipient_infos.as_list(), certificate)
    content_key = _decrypt_key(key, encrypted_key, _KEY_BYTES[cipher])
    return Opened(content=_decrypt(cipher, content_key, iv, ciphertext), cipher=cipher)


def seal_envelope(content: bytes, recipient: Signer, cipher: Cipher) -> bytes:
    """Return the DER of an envelope that only the key of `recipient` opens.

    Args:
        cipher: what the peer used; single DES is answered in 3DES, and in the constructed
            form, which is the only one that clients with single DES send, and some can read.

    Raises:
        UnsupportedAlgorithm: the recipient's key is not RSA.
    """
    constructed = cipher is Cipher.DES
    cipher = Cipher.TRIPLE_DES if cipher is Cipher.DES else cipher
    public_key = recipient.public_key
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise UnsupportedAlgorithm("an envelope can be sealed to RSA keys only")
    content_key = os.urandom(_KEY_BYTES[cipher])
    algorithm = _algorithm(cipher, content_key)
    iv = os.urandom(algorithm.block_size // 8)
    padder = PKCS7(algorithm.block_size).padder()
    encryptor = CipherContext(algorithm, CBC(iv)).encryptor()
    padded = padder.update(content) + padder.finalize()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    recipient_info = der.sequence(
        _VERSION,
        recipient.name,
        der.algorithm(_RSA_ENCRYPTION),
        der.octet_string(public_key.encrypt(content_key, _PKCS1)),
    )
    if constructed:
        sealed = der.element(0xA0, der.octet_string(ciphertext))
    else:
        sealed = der.element(0x80, ciphertext)
    encrypted = der.sequence(
        der.oid(asn1.DATA), der.algorithm(_OIDS[cipher], der.octet_string(iv)), sealed
    )
    data = der.sequence(_VERSION, der.set_of(recipient_info), encrypted)
    return der.sequence(der.oid(asn1.ENVELOPED_DATA), der.element(0xA0, data))


def _cipher_and_iv(algorithm: asn1.AlgorithmIdentifier, *, legacy: bool) -> tuple[Cipher, bytes]:
    cipher = _CIPHERS.get(algorithm.algorithm)
    if cipher is None or (cipher is Cipher.DES and not legacy):
        raise UnsupportedAlgorithm("the content cipher is not accepted")
    block_bytes = 8 if cipher in _DES_CIPHERS else 16
    if not isinstance(algorithm.parameters, bytes) or len(algorithm.parameters) != block_bytes:
        raise MalformedMessage("the content cipher lacks its initialisation vector")
    return cipher, algorithm.parameters


def _ciphertext(element: asn1.TLV) -> bytes:
    if element.tag_bytes == _PRIMITIVE_TAG:
        return bytes(element.data)
    if element.tag_bytes == _CONSTRUCTED_TAG:
        return join_octet_strings(bytes(element.data))
    raise MalformedMessage("the envelope has no content")


def _encrypted_key(recipients: list[asn1.TLV], certificate: x509.Certificate) -> bytes:
    """Return the content key that was encrypted to `certificate`."""
    ours = asn1.own_name(certificate)
    for element in recipients[:_MAX_RECIPIENTS]:
        if element.tag_bytes != _KEY_TRANSPORT_TAG:
            continue
        info = asn1.parse(asn1.KeyTransRecipientInfo, element)
        if asn1.encode(info.recipient) != ours:
            continue
        if info.key_encryption_algorithm.algorithm != _RSA_ENCRYPTION:
            raise UnsupportedAlgorithm("the content key must be encrypted with RSA PKCS #1 v1.5")
        return info.encrypted_key
    raise MalformedMessage("the envelope is not addressed to this certificate")


def _decrypt_key(key: rsa.RSAPrivateKey, encrypted_key: bytes, length: int) -> bytes:
    """Return the content key, or a random one that will decrypt to nonsense."""
    substitute = os.urandom(length)
    try:
        content_key = key.decrypt(encrypted_key, _PKCS1)
    except ValueError:
        return substitute
    return content_key if len(content_key) == length else substitute


def _decrypt(cipher: Cipher, content_key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    algorithm = _algorithm(cipher, content_key)
    decryptor = CipherContext(algorithm, CBC(iv)).decryptor()
    unpadder = PKCS7(algorithm.block_size).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        # One text, and no chained cause: what exactly failed must not show anywhere.
        raise MalformedMessage("the envelope cannot be decrypted") from None


def _algorithm(cipher: Cipher, content_key: bytes) -> AES | TripleDES:
    if cipher is Cipher.DES:
        return TripleDES(content_key * 3)  # 3DES with three equal keys is single DES
    return TripleDES(content_key) if cipher is Cipher.TRIPLE_DES else AES(content_key)
