"""CMS EnvelopedData against openssl both ways; an attacker learns nothing from failures."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from asn1crypto import cms as asn1crypto_cms
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import MalformedMessage, UnsupportedAlgorithm
from appliance.wire import cms
from appliance.wire.envelope import Cipher, open_envelope, seal_envelope
from tests.wire.openssl import identity, openssl, self_signed

SECRET = b"a certification request, say"
OPTIONS = {
    Cipher.AES_128: "-aes128",
    Cipher.AES_192: "-aes192",
    Cipher.AES_256: "-aes256",
    Cipher.TRIPLE_DES: "-des3",
}


def _key(name: str = "device") -> rsa.RSAPrivateKey:
    key = identity("rsa", name).key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _recipient(kind: str = "rsa", name: str = "device") -> cms.Signer:
    return cms.signer(identity(kind, name).certificate.public_bytes(Encoding.DER))


def _open(der: bytes, *, legacy: bool = False) -> bytes:
    return open_envelope(der, identity().certificate, _key(), legacy=legacy).content


@pytest.mark.parametrize("cipher", OPTIONS)
@pytest.mark.parametrize("stream", [(), ("-stream",)])
def test_what_openssl_seals_opens(tmp_path: Path, cipher: Cipher, stream: tuple[str, ...]) -> None:
    identity().write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET * 500)
    seal = ("cms", "-encrypt", "-binary", "-in", "secret", "-outform", "DER")
    der = openssl(tmp_path, *seal, OPTIONS[cipher], *stream, "signer.pem")

    opened = open_envelope(der, identity().certificate, _key(), legacy=False)

    assert opened.content == SECRET * 500
    assert opened.cipher is cipher


@pytest.mark.parametrize("cipher", Cipher)
def test_openssl_opens_what_we_seal_and_des_is_answered_in_3des(
    tmp_path: Path, cipher: Cipher
) -> None:
    identity().write(tmp_path)
    der = seal_envelope(SECRET, _recipient(), cipher)
    (tmp_path / "sealed").write_bytes(der)
    command = "cms -decrypt -binary -inform DER -in sealed -recip signer.pem -inkey signer.key"
    assert openssl(tmp_path, *command.split()) == SECRET

    answered = open_envelope(der, identity().certificate, _key(), legacy=False).cipher
    assert answered is (Cipher.TRIPLE_DES if cipher is Cipher.DES else cipher)


def test_our_envelope_names_recipient_and_ciphers_as_the_rfc_says() -> None:
    der = seal_envelope(SECRET, _recipient(), Cipher.AES_256)
    info = asn1crypto_cms.ContentInfo.load(der, strict=True)
    assert info["content_type"].native == "enveloped_data"
    data = info["content"]
    recipient = data["recipient_infos"][0].chosen
    assert recipient["rid"].chosen["serial_number"].native == 7
    assert recipient["key_encryption_algorithm"]["algorithm"].native == "rsaes_pkcs1v15"
    encrypted = data["encrypted_content_info"]
    assert encrypted["content_encryption_algorithm"]["algorithm"].native == "aes256_cbc"


def test_single_des_in_pieces_opens_only_as_legacy(tmp_path: Path) -> None:
    """As scepclient sends it."""
    identity().write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    seal = "cms -encrypt -binary -in secret -outform DER -stream -des -provider legacy"
    der = openssl(tmp_path, *seal.split(), "-provider", "default", "signer.pem")

    opened = open_envelope(der, identity().certificate, _key(), legacy=True)
    assert (opened.content, opened.cipher) == (SECRET, Cipher.DES)
    with pytest.raises(UnsupportedAlgorithm):
        _open(der)


def test_an_envelope_for_another_certificate_is_refused() -> None:
    der = seal_envelope(SECRET, _recipient("rsa", "other"), Cipher.AES_128)
    with pytest.raises(MalformedMessage, match="not addressed"):
        _open(der)
    twin = self_signed(_key(), "device", serial_number=8)
    with pytest.raises(MalformedMessage, match="not addressed"):
        open_envelope(
            seal_envelope(SECRET, _recipient(), Cipher.AES_128),
            twin,
            _key(),
            legacy=True,
        )


def test_an_elliptic_curve_recipient_is_unsupported() -> None:
    with pytest.raises(UnsupportedAlgorithm):
        seal_envelope(SECRET, _recipient("ec"), Cipher.AES_128)


@pytest.mark.parametrize("option", ["-camellia128", "-aes-256-gcm"])
def test_other_ciphers_are_refused(tmp_path: Path, option: str) -> None:
    identity().write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    seal = ("cms", "-encrypt", "-binary", "-in", "secret", "-outform", "DER", option)
    with pytest.raises((UnsupportedAlgorithm, MalformedMessage)):
        _open(openssl(tmp_path, *seal, "signer.pem"))


def test_b18_every_failure_to_decrypt_is_the_same_error() -> None:
    """Wrong RSA padding, wrong length of the content key, wrong CBC padding: one answer."""
    good = seal_envelope(SECRET, _recipient(), Cipher.AES_128)
    public = _key().public_key()
    wrong_keys = {
        "RSA padding": os.urandom(255).rjust(256, b"\0"),
        "key length 15": public.encrypt(bytes(15), padding.PKCS1v15()),
        "key length 32": public.encrypt(bytes(32), padding.PKCS1v15()),
        "too long for RSA": b"\xff" * 256,
        "short": b"\x01",
    }
    texts = set()
    for encrypted_key in wrong_keys.values():
        message = asn1crypto_cms.ContentInfo.load(good)
        message["content"]["recipient_infos"][0].chosen["encrypted_key"] = encrypted_key
        texts.add(_failure(message.dump(force=True)))
    message = asn1crypto_cms.ContentInfo.load(good)
    message["content"]["encrypted_content_info"]["encrypted_content"] = bytes(17)
    texts.add(_failure(message.dump(force=True)))
    assert texts == {"the envelope cannot be decrypted"}


def _failure(der: bytes) -> str:
    """The error text; a random key meets a right padding once in 256 times, then try again."""
    for _ in range(20):
        try:
            _open(der)
        except MalformedMessage as error:
            assert error.__cause__ is None
            return error.problem
    raise AssertionError("opened twenty times")


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3)), min_size=1, max_size=4))
def test_b10_mutated_envelopes_raise_only_our_own_errors(edits: list[tuple[int, bytes]]) -> None:
    message = bytearray(seal_envelope(SECRET, _recipient(), Cipher.AES_128))
    for offset, new in edits:
        start = offset % len(message)
        message[start : start + len(new)] = new
    with contextlib.suppress(MalformedMessage, UnsupportedAlgorithm):
        _open(bytes(message), legacy=True)
