"""Forged, altered and mutilated messages: each is refused, and only with our own errors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import algos
from asn1crypto import cms as asn1crypto_cms
from asn1crypto import x509 as asn1crypto_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadSignature, MalformedMessage, UnsupportedAlgorithm
from appliance.simulator import cms as device_cms
from appliance.simulator.keys import Identity
from appliance.wire import cms, signing
from tests.wire.openssl import CAPTURES, identity, self_signed

BODY = b"what the device sent"
REFUSALS = (BadSignature, MalformedMessage, UnsupportedAlgorithm)


@cache
def _message() -> bytes:
    us = identity()
    return signing.sign(BODY, us.certificate, us.key)


def _resigned(change: Callable[[list[asn1crypto_cms.CMSAttribute]], object]) -> bytes:
    """The message with changed attributes, signed again over them by the real key."""
    content = asn1crypto_cms.ContentInfo.load(_message())
    info = content["content"]["signer_infos"][0]
    attributes = list(info["signed_attrs"])
    change(attributes)
    signed = asn1crypto_cms.CMSAttributes()
    for attribute in attributes:
        signed.append(attribute)
    raw = b"".join(sorted(attribute.dump() for attribute in attributes))
    key = identity().key
    assert isinstance(key, rsa.RSAPrivateKey)
    to_sign = asn1crypto_cms.CMSAttributes.load(_set(raw)).dump()
    info["signed_attrs"] = asn1crypto_cms.CMSAttributes.load(_set(raw))
    info["signature"] = key.sign(to_sign, padding.PKCS1v15(), hashes.SHA256())
    return bytes(content.dump(force=True))


def _set(raw: bytes) -> bytes:
    length = bytes((len(raw),)) if len(raw) < 128 else bytes((0x81, len(raw)))
    return b"\x31" + length + raw


def _attribute(kind: str, value: object) -> asn1crypto_cms.CMSAttribute:
    return asn1crypto_cms.CMSAttribute({"type": kind, "values": [value]})


def _without(kind: str) -> Callable[[list[asn1crypto_cms.CMSAttribute]], None]:
    def change(attributes: list[asn1crypto_cms.CMSAttribute]) -> None:
        attributes[:] = [each for each in attributes if each["type"].native != kind]

    return change


def _with(kind: str, value: object) -> Callable[[list[asn1crypto_cms.CMSAttribute]], None]:
    def change(attributes: list[asn1crypto_cms.CMSAttribute]) -> None:
        _without(kind)(attributes)
        attributes.append(_attribute(kind, value))

    return change


def _refused(message: bytes) -> None:
    with pytest.raises(REFUSALS):
        cms.verify(message, allow_sha1=True)


def test_the_unchanged_resigned_message_verifies() -> None:
    assert cms.verify(_resigned(lambda attributes: None), allow_sha1=False).content == BODY


def test_b15_wrong_message_digest_is_refused() -> None:
    with pytest.raises(BadSignature):
        cms.verify(_resigned(_with("message_digest", bytes(32))), allow_sha1=False)


def test_b15_swapped_content_is_refused() -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    content["content"]["encap_content_info"]["content"] = b"something else"
    with pytest.raises(BadSignature):
        cms.verify(content.dump(force=True), allow_sha1=False)


def test_b15_wrong_content_type_is_refused() -> None:
    with pytest.raises(BadSignature):
        cms.verify(_resigned(_with("content_type", "enveloped_data")), allow_sha1=False)


@pytest.mark.parametrize("kind", ["message_digest", "content_type"])
def test_b15_absent_attribute_is_refused(kind: str) -> None:
    with pytest.raises(BadSignature):
        cms.verify(_resigned(_without(kind)), allow_sha1=False)


@pytest.mark.parametrize("kind", ["message_digest", "content_type"])
def test_b15_attribute_given_twice_is_refused(kind: str) -> None:
    def twice(attributes: list[asn1crypto_cms.CMSAttribute]) -> None:
        attributes += [each for each in attributes if each["type"].native == kind]

    _refused(_resigned(twice))


def test_b15_attribute_with_two_values_is_refused() -> None:
    def two(attributes: list[asn1crypto_cms.CMSAttribute]) -> None:
        _without("message_digest")(attributes)
        real = hashes.Hash(hashes.SHA256())
        real.update(BODY)
        values = [real.finalize(), bytes(32)]
        attributes.append(asn1crypto_cms.CMSAttribute({"type": "message_digest", "values": values}))

    _refused(_resigned(two))


def test_b15_empty_set_of_attributes_is_not_a_signature_over_content() -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    info = content["content"]["signer_infos"][0]
    key = identity().key
    assert isinstance(key, rsa.RSAPrivateKey)
    info["signed_attrs"] = asn1crypto_cms.CMSAttributes([])
    info["signature"] = key.sign(BODY, padding.PKCS1v15(), hashes.SHA256())
    _refused(content.dump(force=True))


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha512"])
def test_b15_digest_algorithm_other_than_the_signatures_is_refused(digest: str) -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    info = content["content"]["signer_infos"][0]
    info["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"})
    assert cms.verify(content.dump(force=True), allow_sha1=False).content == BODY
    info["digest_algorithm"] = algos.DigestAlgorithm({"algorithm": digest})
    _refused(content.dump(force=True))


@pytest.mark.parametrize("algorithm", ["md5_rsa", "sha512_rsa", "sha256_ecdsa", "rsassa_pss"])
def test_b15_signature_algorithm_that_does_not_fit_is_refused(algorithm: str) -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    info = content["content"]["signer_infos"][0]
    info["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": algorithm})
    _refused(content.dump(force=True))


def test_b15_tampered_attribute_is_refused() -> None:
    content = asn1crypto_cms.ContentInfo.load(
        signing.sign(
            BODY,
            identity().certificate,
            identity().key,
            attributes={ObjectIdentifier("1.2.3"): b"\x04\x01a"},
        )
    )
    attributes = content["content"]["signer_infos"][0]["signed_attrs"]
    changed = content.dump().replace(b"\x04\x01a", b"\x04\x01b")
    assert len(attributes) == 3
    with pytest.raises(BadSignature):
        cms.verify(changed, allow_sha1=False)


def test_b16_two_signers_are_refused_even_if_both_are_valid() -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    infos = content["content"]["signer_infos"]
    other = asn1crypto_cms.ContentInfo.load(_message())["content"]["signer_infos"][0]
    infos.append(other)
    with pytest.raises(MalformedMessage):
        cms.verify(content.dump(force=True), allow_sha1=False)


def test_b16_no_signer_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        cms.verify(
            signing.certs_only([identity().certificate.public_bytes(Encoding.DER)]),
            allow_sha1=False,
        )


def test_b16_a_hundred_certificates_are_refused() -> None:
    us = identity()
    message = signing.sign(BODY, us.certificate, us.key, chain=[us.certificate] * 99)
    with pytest.raises(MalformedMessage):
        cms.verify(message, allow_sha1=False)


def test_b16_valid_certificate_embedded_but_another_key_signs() -> None:
    message = signing.sign(BODY, identity().certificate, identity("rsa", "thief").key)
    with pytest.raises(BadSignature):
        cms.verify(message, allow_sha1=False)


def test_b16_the_signer_is_found_by_name_not_by_position() -> None:
    first, second = identity("rsa", "first"), identity("rsa", "second")
    message = asn1crypto_cms.ContentInfo.load(
        signing.sign(BODY, second.certificate, second.key, chain=[first.certificate])
    )
    embedded = [
        asn1crypto_x509.Certificate.load(each.certificate.public_bytes(Encoding.DER))
        for each in (first, second)
    ]
    message["content"]["certificates"] = embedded
    signed = cms.verify(message.dump(force=True), allow_sha1=False)
    assert signed.signer.certificate == second.certificate


def test_b16_same_issuer_with_another_serial_number_is_not_the_signer() -> None:
    us = identity()
    twin = self_signed(us.key, "device", serial_number=8)
    message = asn1crypto_cms.ContentInfo.load(signing.sign(BODY, us.certificate, us.key))
    twin_der = twin.public_bytes(Encoding.DER)
    message["content"]["certificates"] = [asn1crypto_x509.Certificate.load(twin_der)]
    with pytest.raises(MalformedMessage):
        cms.verify(message.dump(force=True), allow_sha1=False)


def test_content_of_another_type_needs_attributes() -> None:
    content = asn1crypto_cms.ContentInfo.load(_message())
    data = content["content"]
    info = data["signer_infos"][0]
    key = identity().key
    assert isinstance(key, rsa.RSAPrivateKey)
    info["signed_attrs"] = None
    info["signature"] = key.sign(BODY, padding.PKCS1v15(), hashes.SHA256())
    assert cms.verify(content.dump(force=True), allow_sha1=False).content == BODY
    raw = content.dump(force=True)
    oid = bytes.fromhex("06092a864886f70d010701")  # data
    with pytest.raises(BadSignature):
        cms.verify(raw.replace(oid, oid[:-1] + b"\x03", 1), allow_sha1=False)


def _survives(message: bytes) -> None:
    started = time.thread_time()
    with contextlib.suppress(*REFUSALS):
        cms.verify(message, allow_sha1=True)
    assert time.thread_time() - started < 1


@pytest.mark.filterwarnings("ignore")
def test_b10_truncated_at_every_byte() -> None:
    message = _message()
    for end in range(len(message)):
        with pytest.raises(REFUSALS):
            cms.verify(message[:end], allow_sha1=True)


@pytest.mark.filterwarnings("ignore")
def test_b10_every_byte_one_more_and_one_less() -> None:
    message = _message()
    for offset in range(len(message)):
        for step in (1, -1, 0x80):
            changed = bytearray(message)
            changed[offset] = (changed[offset] + step) % 256
            _survives(bytes(changed))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not CAPTURES.exists(), reason="captures are not here")
def test_b10_every_byte_of_a_real_ber_signature_changed() -> None:
    message = (Path(CAPTURES) / "nanomdm-mdm-signature.der").read_bytes()
    for offset in range(len(message)):
        changed = bytearray(message)
        changed[offset] ^= 0x80
        for damaged in (bytes(changed), message[:offset]):
            with pytest.raises(REFUSALS):
                cms.verify_detached(damaged, BODY, allow_sha1=True)


@pytest.mark.parametrize(
    "message",
    [b"", b"\0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80" * 10_000, b"\x31\x00"],
)
def test_b10_junk_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        cms.verify(message, allow_sha1=True)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3)), min_size=1, max_size=4))
def test_b10_mutations_raise_only_our_own_errors(edits: list[tuple[int, bytes]]) -> None:
    message = bytearray(_message())
    for offset, new in edits:
        start = offset % len(message)
        message[start : start + len(new)] = new
    _survives(bytes(message))


@pytest.mark.parametrize("bits", [34, 256, 2047])
def test_a_huge_rsa_exponent_is_refused_before_it_costs_anything(bits: int) -> None:
    """Verifying takes as long as the exponent has bits: 2,047 of them, a hundred times longer."""
    us = identity()
    assert isinstance(us.key, rsa.RSAPrivateKey)
    exponent = (1 << (bits - 1)) | 1
    huge = rsa.RSAPublicNumbers(exponent, us.key.public_key().public_numbers().n).public_key()
    named = us.certificate
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named.subject)
        .issuer_name(named.issuer)
        .public_key(huge)
        .serial_number(named.serial_number)
        .not_valid_before(named.not_valid_before_utc)
        .not_valid_after(named.not_valid_after_utc)
        .sign(us.key, hashes.SHA256())
    )
    genuine = named.public_bytes(Encoding.DER)
    forged = certificate.public_bytes(Encoding.DER)
    signer = device_cms.Signer(identity=Identity(certificate=named, key=us.key))
    for detached in (False, True):
        message = device_cms.signed_data(BODY, [signer], detached=detached, certificates=[forged])
        assert genuine not in message
        with pytest.raises(UnsupportedAlgorithm):
            if detached:
                cms.verify_detached(message, BODY, allow_sha1=True)
            else:
                cms.verify(message, allow_sha1=True)
