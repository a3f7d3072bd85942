"""Certification requests: which keys we certify, what a challenge may look like."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from asn1crypto import core
from asn1crypto import csr as asn1crypto_csr
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadSignature, MalformedMessage, UnsupportedAlgorithm
from appliance.wire.certificates import parse_csr, public_key_sha256
from appliance.wire.keys import accepted_key
from tests.wire.openssl import identity, openssl

_CHALLENGE = x509.ObjectIdentifier("1.2.840.113549.1.9.7")


def _request(
    key: CertificateIssuerPrivateKeyTypes, challenge: bytes | None = b"open sesame"
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if challenge is not None:
        builder = builder.add_attribute(_CHALLENGE, challenge)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_request_gives_its_key_and_challenge(kind: str) -> None:
    key = identity(kind).key
    request = parse_csr(_request(key))
    assert request.public_key == key.public_key()
    assert request.public_key_sha256 == public_key_sha256(key.public_key())
    assert request.challenge_password == "open sesame"
    assert "sesame" not in repr(request)


def test_a_request_without_challenge_has_none() -> None:
    assert parse_csr(_request(identity().key, None)).challenge_password is None


@pytest.mark.parametrize(
    "string",
    [
        core.PrintableString("Kennwort"),
        core.UTF8String("Kennwört"),
        core.TeletexString("Kennwort"),
        core.IA5String("Kenn*wort"),
        core.BMPString("Kennwört"),
    ],
)
def test_a_challenge_may_be_any_of_the_strings_clients_use(string: core.AbstractString) -> None:
    der = _with_challenges([string])
    assert parse_csr(der).challenge_password == string.native


def _with_challenges(values: list[core.Asn1Value]) -> bytes:
    """A request with these challenge passwords, signed by the device's key."""
    request = asn1crypto_csr.CertificationRequest.load(_request(identity().key, None))
    info = request["certification_request_info"]
    oid = bytes.fromhex("06092a864886f70d010907")
    encoded = b""
    for value in values:
        encoded += _der(0x30, oid + _der(0x31, value.dump()))
    fields = b"".join(info[name].dump() for name in ("version", "subject", "subject_pk_info"))
    signed = _der(0x30, fields + _der(0xA0, encoded))
    key = identity().key
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    algorithm = request["signature_algorithm"].dump()
    return _der(0x30, signed + algorithm + _der(0x03, b"\0" + signature))


def _der(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + _length(len(value)) + value


def _length(length: int) -> bytes:
    return bytes((length,)) if length < 128 else b"\x82" + length.to_bytes(2, "big")


def test_two_challenges_are_refused() -> None:
    twice = [core.UTF8String(text) for text in ("a", "b")]
    with pytest.raises(MalformedMessage):
        parse_csr(_with_challenges(twice))


def test_a_challenge_that_is_no_string_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        parse_csr(_with_challenges([core.Integer(5)]))


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_what_openssl_requests_is_read(tmp_path: Path, digest: str) -> None:
    identity().write(tmp_path)
    arguments = f"req -new -key signer.key -subj /CN=x -outform DER -{digest}"
    der = openssl(tmp_path, *arguments.split())
    assert parse_csr(der).public_key == identity().key.public_key()
    if digest == "sha1":
        with pytest.raises(UnsupportedAlgorithm):
            parse_csr(der, allow_sha1=False)


@pytest.mark.parametrize("digest", ["md5", "sha224"])
def test_requests_signed_with_other_digests_are_refused(tmp_path: Path, digest: str) -> None:
    identity().write(tmp_path)
    arguments = f"req -new -key signer.key -subj /CN=x -outform DER -{digest}"
    with pytest.raises(UnsupportedAlgorithm):
        parse_csr(openssl(tmp_path, *arguments.split()))


def test_a_request_for_anothers_key_is_refused() -> None:
    ours = _request(identity().key, None)
    modulus = identity("rsa", "other").key.public_key().public_numbers()
    mine = identity().key.public_key().public_numbers()
    assert isinstance(modulus, rsa.RSAPublicNumbers) and isinstance(mine, rsa.RSAPublicNumbers)
    stolen = ours.replace(mine.n.to_bytes(256, "big"), modulus.n.to_bytes(256, "big"))
    assert stolen != ours
    with pytest.raises(BadSignature):
        parse_csr(stolen)


@pytest.mark.parametrize("bits", [1024, 2047])
def test_b09_short_rsa_keys_are_refused(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    with pytest.raises(UnsupportedAlgorithm):
        parse_csr(_request(key))


def test_b09_rsa_512_is_refused(tmp_path: Path) -> None:
    openssl(tmp_path, *["genrsa", "-out", "k.pem", "512"])
    der = openssl(tmp_path, *["req", "-new", "-key", "k.pem", "-subj", "/CN=x", "-outform", "DER"])
    with pytest.raises(UnsupportedAlgorithm):
        parse_csr(der)


@pytest.mark.parametrize(
    ("bits", "exponent"), [(8192, 65537), (16384, 65537), (2048, 3), (4096, 2**32 + 1)]
)
def test_b09_long_keys_and_other_exponents_are_refused_at_once(bits: int, exponent: int) -> None:
    key = rsa.RSAPublicNumbers(exponent, (1 << bits) - 159).public_key()
    started = time.thread_time()
    with pytest.raises(UnsupportedAlgorithm):
        accepted_key(key)
    assert time.thread_time() - started < 0.2


@pytest.mark.parametrize("factor", [3, 7, 997])
def test_b09_a_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    n = factor * ((1 << 2047) // factor | 1)
    n += 2 * factor * (n.bit_length() < 2048)
    with pytest.raises(UnsupportedAlgorithm):
        accepted_key(rsa.RSAPublicNumbers(65537, n).public_key())


def test_b09_an_even_modulus_and_exponent_one_are_refused() -> None:
    ours = _request(identity().key, None)
    numbers = identity().key.public_key().public_numbers()
    assert isinstance(numbers, rsa.RSAPublicNumbers)
    n = numbers.n.to_bytes(256, "big")
    even = ours.replace(n, (numbers.n - 1).to_bytes(256, "big"))
    one = ours.replace(bytes.fromhex("0203010001"), bytes.fromhex("0203000001"))
    for der in (even, one, ours.replace(bytes.fromhex("0203010001"), b"\x02\x03\x01\0\0")):
        with pytest.raises((UnsupportedAlgorithm, MalformedMessage, BadSignature)):
            parse_csr(der)


def test_b09_a_roca_modulus_is_refused() -> None:
    """A number that is a power of 65537 modulo every prime of the fingerprint."""
    primes = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
    product = 1
    for prime in primes:
        product *= prime
    n = (1 << 2047) // product * product + pow(65537, 12345, product)
    while n.bit_length() < 2048 or any(n % small == 0 for small in range(2, 1001)):
        n += product
    with pytest.raises(UnsupportedAlgorithm, match="CVE"):
        accepted_key(rsa.RSAPublicNumbers(65537, n).public_key())


@pytest.mark.parametrize("curve", ["prime192v1", "secp224r1", "secp521r1", "secp256k1"])
def test_b09_other_curves_are_refused(tmp_path: Path, curve: str) -> None:
    openssl(tmp_path, *f"ecparam -name {curve} -genkey -noout -out k.pem".split())
    der = openssl(tmp_path, *["req", "-new", "-key", "k.pem", "-subj", "/CN=x", "-outform", "DER"])
    with pytest.raises(UnsupportedAlgorithm):
        parse_csr(der)


@pytest.mark.filterwarnings("ignore")
def test_b09_explicit_curve_parameters_are_refused(tmp_path: Path) -> None:
    generate = "ecparam -name prime256v1 -genkey -noout -out k.pem -param_enc explicit"
    openssl(tmp_path, *generate.split())
    der = openssl(tmp_path, *["req", "-new", "-key", "k.pem", "-subj", "/CN=x", "-outform", "DER"])
    with pytest.raises((UnsupportedAlgorithm, MalformedMessage)):
        parse_csr(der)


def test_b09_ed25519_and_dsa_are_refused() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate(), dsa.generate_private_key(2048)):
        with pytest.raises(UnsupportedAlgorithm):
            parse_csr(_request(key))


def test_b09_the_keys_we_promise_are_accepted() -> None:
    for bits in (2048, 3072):
        parse_csr(_request(rsa.generate_private_key(65537, bits)))
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        parse_csr(_request(ec.generate_private_key(curve)))


def test_b10_trailing_bytes_and_size() -> None:
    der = _request(identity().key)
    for damaged in (der + b"\0", b"", b"\0" * 40_000, der[:-1]):
        with pytest.raises(MalformedMessage):
            parse_csr(damaged)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3)), min_size=1, max_size=4))
def test_b10_mutated_requests_raise_only_our_own_errors(edits: list[tuple[int, bytes]]) -> None:
    message = bytearray(_request(identity().key))
    for offset, new in edits:
        start = offset % len(message)
        message[start : start + len(new)] = new
    with contextlib.suppress(MalformedMessage, UnsupportedAlgorithm, BadSignature):
        parse_csr(bytes(message))
