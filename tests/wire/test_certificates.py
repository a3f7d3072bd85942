"""What we issue satisfies openssl's strict mode; what people upload is told apart clearly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import InvalidRequest, MalformedMessage
from appliance.wire import certificates
from appliance.wire.certificates import KeyPair, PublicKey
from appliance.wire.identities import IdentityIssuer
from tests.wire.openssl import NOW, identity, openssl


@cache
def _device_ca() -> KeyPair:
    return certificates.new_device_ca("Example Ltd", NOW)


@cache
def _root() -> KeyPair:
    return certificates.new_tls_root("Example Ltd", NOW)


def _identity(days: int = 730, public_key: PublicKey | None = None) -> x509.Certificate:
    ca = _device_ca()
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    made = IdentityIssuer(ca.certificate, ca.key, organization="Example Ltd").issue(
        public_key or identity("rsa", "phone").key.public_key(),
        common_name="UDID",
        serial_number=certificates.new_serial_number(),
        now=NOW,
        days=days,
    )
    certificate = x509.load_der_x509_certificate(made.der)
    assert certificate.not_valid_after_utc == made.not_after
    return certificate


def _strict(folder: Path, anchor: x509.Certificate, leaf: x509.Certificate, purpose: str) -> bytes:
    (folder / "anchor.pem").write_bytes(certificates.certificate_pem(anchor))
    (folder / "leaf.pem").write_bytes(certificates.certificate_pem(leaf))
    at = str(int((NOW + timedelta(hours=1)).timestamp()))
    options = ("-x509_strict", "-attime", at, "-purpose", purpose)
    return openssl(folder, "verify", *options, "-CAfile", "anchor.pem", "leaf.pem")


def test_device_ca_signs_and_decrypts_and_has_no_country() -> None:
    ca = _device_ca().certificate
    assert isinstance(_device_ca().key, rsa.RSAPrivateKey)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature and usage.value.key_encipherment
    assert usage.value.key_cert_sign and usage.value.crl_sign
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert not ca.subject.get_attributes_for_oid(NameOID.COUNTRY_NAME)
    ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    ca.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_identity_passes_the_strict_check_as_a_client(tmp_path: Path) -> None:
    certificate = _identity()
    assert b"OK" in _strict(tmp_path, _device_ca().certificate, certificate, "sslclient")
    certificate.verify_directly_issued_by(_device_ca().certificate)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=10)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=730)
    assert certificate.version is x509.Version.v3
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_identity_does_not_outlive_its_ca() -> None:
    certificate = _identity(days=36_500)
    assert certificate.not_valid_after_utc == _device_ca().certificate.not_valid_after_utc


def test_identity_of_an_elliptic_curve_key_cannot_encipher() -> None:
    certificate = _identity(public_key=ec.generate_private_key(ec.SECP256R1()).public_key())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_encipherment


def test_serial_numbers_are_positive_large_and_unlike() -> None:
    numbers = {certificates.new_serial_number() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(0 < number < 1 << 128 for number in numbers)
    assert max(numbers).bit_length() > 120


def test_tls_leaf_passes_the_strict_check_as_a_server(tmp_path: Path) -> None:
    names = ["mdm.example.com", "büro.local", "192.0.2.1", "2001:db8::1"]
    leaf = certificates.new_tls_leaf(names, _root(), NOW)
    assert b"OK" in _strict(tmp_path, _root().certificate, leaf.certificate, "sslserver")
    san = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["mdm.example.com", "xn--bro-hoa.local"]
    assert [str(each) for each in san.get_values_for_type(x509.IPAddress)] == names[2:]
    lifetime = leaf.certificate.not_valid_after_utc - leaf.certificate.not_valid_before_utc
    assert lifetime < timedelta(days=398)
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)


def test_very_long_names_are_shortened_rather_than_refused() -> None:
    assert certificates.new_tls_root("x" * 500, NOW).certificate
    assert certificates.new_tls_leaf(["a" * 60 + ".example.com"], _root(), NOW).certificate


def test_revocation_list_names_the_revoked_and_openssl_believes_it(tmp_path: Path) -> None:
    ca = _device_ca()
    der = certificates.certificate_revocation_list(
        [(12345, NOW), (certificates.new_serial_number(), NOW)],
        ca_certificate=ca.certificate,
        ca_key=ca.key,
        number=3,
        now=NOW,
    )
    revoked = x509.load_der_x509_crl(der)
    assert revoked.get_revoked_certificate_by_serial_number(12345) is not None
    (tmp_path / "crl").write_bytes(der)
    (tmp_path / "ca.pem").write_bytes(certificates.certificate_pem(ca.certificate))
    openssl(tmp_path, "crl", "-inform", "DER", "-in", "crl", "-CAfile", "ca.pem", "-noout")


def _push_certificate(user_id: str | None) -> KeyPair:
    key = rsa.generate_private_key(65537, 2048)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "APSP:1")]
    if user_id is not None:
        attributes.append(x509.NameAttribute(NameOID.USER_ID, user_id))
    name = x509.Name(attributes)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate=certificate, key=key)


def test_push_topic_is_the_subjects_user_id() -> None:
    topic = "com.apple.mgmt.External.3fe8"
    assert certificates.push_topic(_push_certificate(topic).certificate) == topic


@pytest.mark.parametrize("user_id", [None, "com.example.app"])
def test_a_certificate_without_a_management_topic_is_told_apart(user_id: str | None) -> None:
    assert _code(lambda: certificates.push_topic(_push_certificate(user_id).certificate)) == (
        "push_certificate.no_topic"
    )


def _code(action: Callable[[], object]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        action()
    return caught.value.code


def test_a_pair_is_found_whatever_the_order_and_whatever_else_is_there() -> None:
    pair, other = _push_certificate("com.apple.mgmt.a"), identity("ec").certificate
    certificate = certificates.certificate_pem(pair.certificate)
    key = certificates.key_pem(pair.key)
    for pem in (certificate + key, key + certificate):
        mixed = b"Bag Attributes\n" + certificates.certificate_pem(other) + pem
        loaded = certificates.load_pair(mixed, "not needed")
        assert loaded.certificate == pair.certificate
        assert loaded.chain == (other,)
        assert "RSAPrivateKey" not in repr(loaded)


def test_an_encrypted_key_needs_its_password() -> None:
    pair = _push_certificate("com.apple.mgmt.a")
    encrypted = pair.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    pem = certificates.certificate_pem(pair.certificate) + encrypted
    assert certificates.load_pair(pem, "secret").certificate == pair.certificate
    for password in (None, "", "wrong"):
        assert _code(partial(certificates.load_pair, pem, password)) == (
            "push_certificate.password"
        )


def test_a_key_of_another_certificate_is_a_mismatch() -> None:
    pair = _push_certificate("com.apple.mgmt.a")
    key = certificates.key_pem(identity("rsa", "other").key)
    pem = certificates.certificate_pem(pair.certificate) + key
    assert _code(lambda: certificates.load_pair(pem)) == "push_certificate.key_mismatch"


def test_what_is_no_pair_is_malformed() -> None:
    pair = _push_certificate("com.apple.mgmt.a")
    certificate, key = (
        certificates.certificate_pem(pair.certificate),
        certificates.key_pem(pair.key),
    )
    for pem in (b"", b"junk", certificate, key, certificate + key[:200]):
        assert _code(partial(certificates.load_pair, pem)) == "push_certificate.malformed"


def test_pkcs12_opens_with_its_password_only() -> None:
    pair = _push_certificate("com.apple.mgmt.a")
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    data = pkcs12.serialize_key_and_certificates(
        b"push", pair.key, pair.certificate, None, BestAvailableEncryption(b"secret")
    )
    assert certificates.load_pkcs12(data, "secret").certificate == pair.certificate
    for password in (None, "wrong"):
        assert _code(partial(certificates.load_pkcs12, data, password)) == (
            "push_certificate.password"
        )
    der = pair.certificate.public_bytes(Encoding.DER)
    for other in (b"", b"junk", der, certificates.certificate_pem(pair.certificate)):
        assert _code(partial(certificates.load_pkcs12, other)) == "push_certificate.malformed"


def test_pkcs12_with_the_ciphers_of_old_keychains_opens(tmp_path: Path) -> None:
    pair = identity("rsa", "keychain")
    pair.write(tmp_path)
    export = "pkcs12 -export -legacy -in signer.pem -inkey signer.key -out push.p12"
    openssl(tmp_path, *export.split(), "-passout", "pass:secret")
    data = (tmp_path / "push.p12").read_bytes()
    assert certificates.load_pkcs12(data, "secret").certificate == pair.certificate


def test_certificates_and_keys_survive_a_file() -> None:
    pair = _root()
    pem = certificates.certificate_pem(pair.certificate, _device_ca().certificate)
    assert certificates.load_certificates(pem)[1] == _device_ca().certificate
    der = pair.certificate.public_bytes(Encoding.DER)
    assert certificates.load_certificates(der) == (pair.certificate,)
    key = certificates.load_key(certificates.key_pem(pair.key))
    assert key.public_key() == pair.key.public_key()
    assert certificates.load_rsa_key(certificates.key_pem(_device_ca().key)).key_size == 2048
    with pytest.raises(MalformedMessage):
        certificates.load_rsa_key(certificates.key_pem(pair.key))
    for junk in (b"", b"junk", b"0junk"):
        with pytest.raises(MalformedMessage):
            certificates.load_certificates(junk)
        with pytest.raises(MalformedMessage):
            certificates.load_key(junk)


def test_fingerprint_is_the_hash_of_the_der(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(certificates.certificate_pem(_root().certificate))
    printed = openssl(tmp_path, "x509", "-in", "c.pem", "-noout", "-fingerprint", "-sha256")
    hexadecimal = printed.decode().partition("=")[2].strip().replace(":", "")
    assert certificates.fingerprint(_root().certificate).hex().upper() == hexadecimal
