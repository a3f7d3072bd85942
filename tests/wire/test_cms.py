"""CMS SignedData against openssl, both ways, and against asn1crypto's view of what we emit."""

from __future__ import annotations

from pathlib import Path

import pytest
from asn1crypto import cms as asn1crypto_cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier

from appliance.errors import BadSignature, MalformedMessage, UnsupportedAlgorithm
from appliance.wire import cms, signing
from tests.wire.openssl import CAPTURES, identity, openssl, self_signed

BODY = b"<plist>\r\nexactly these bytes\n</plist>\0"


def _signed(folder: Path, *options: str, kind: str = "rsa", body: bytes = BODY) -> bytes:
    identity(kind).write(folder)
    (folder / "body").write_bytes(body)
    sign = "cms -sign -binary -in body -signer signer.pem -inkey signer.key -outform DER"
    return openssl(folder, *sign.split(), *options)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("form", [(), ("-noattr",), ("-keyid",), ("-stream",)])
def test_what_openssl_signs_detached_verifies(
    tmp_path: Path, kind: str, digest: str, form: tuple[str, ...]
) -> None:
    signature = _signed(tmp_path, "-md", digest, *form, kind=kind)

    signer = cms.verify_detached(signature, BODY, allow_sha1=True)

    certificate = identity(kind).certificate
    assert signer.certificate == certificate
    assert signer.not_after == certificate.not_valid_after_utc.timestamp()
    with pytest.raises(BadSignature):
        cms.verify_detached(signature, BODY + b" ", allow_sha1=True)


@pytest.mark.parametrize("form", [(), ("-noattr",), ("-stream",), ("-stream", "-noattr")])
def test_what_openssl_signs_attached_verifies(tmp_path: Path, form: tuple[str, ...]) -> None:
    message = cms.verify(_signed(tmp_path, "-nodetach", *form), allow_sha1=False)
    assert message.content == BODY
    assert message.digest == "sha256"
    assert message.certificates == (identity().certificate,)


def test_a_streamed_message_larger_than_the_default_needs_its_own_limit(tmp_path: Path) -> None:
    body = bytes(200_000)
    signed = _signed(tmp_path, "-nodetach", "-stream", body=body)
    with pytest.raises(MalformedMessage):
        cms.verify(signed, allow_sha1=False)
    assert cms.verify(signed, allow_sha1=False, limit=1 << 20).content == body


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("detached", [True, False])
def test_openssl_verifies_what_we_sign(
    tmp_path: Path, kind: str, digest: str, detached: bool
) -> None:
    us = identity(kind)
    signed = signing.sign(
        BODY,
        us.certificate,
        us.key,
        digest=digest,
        chain=[identity("rsa", "chain").certificate],
        attributes={
            ObjectIdentifier("2.16.840.1.113733.1.9.2"): b"\x13\x013",
            ObjectIdentifier("1.2.3.4"): b"\x04\x01a",
        },
        detached=detached,
    )
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "body").write_bytes(BODY)
    verify = ["cms", "-verify", "-binary", "-noverify", "-inform", "DER", "-in", "signed"]
    content = ["-content", "body"] if detached else []
    assert openssl(tmp_path, *verify, *content) == BODY

    info = asn1crypto_cms.ContentInfo.load(signed, strict=True)["content"]["signer_infos"][0]
    encoded = [attribute.dump() for attribute in info["signed_attrs"]]
    assert encoded == sorted(encoded), "DER: a SET OF is sorted"
    assert len(encoded) == 4


def test_certs_only_keeps_the_order_and_openssl_reads_it(tmp_path: Path) -> None:
    certificates = (identity("rsa").certificate, identity("ec").certificate)
    message = signing.certs_only([one.public_bytes(Encoding.DER) for one in certificates])
    assert cms.split_certificates(message) == certificates
    (tmp_path / "p7").write_bytes(message)
    printed = openssl(tmp_path, "pkcs7", "-inform", "DER", "-in", "p7", "-print_certs")
    assert printed.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.skipif(not CAPTURES.exists(), reason="captures are not here")
def test_the_signature_a_real_device_sent_verifies() -> None:
    signature = (CAPTURES / "nanomdm-mdm-signature.der").read_bytes()
    body = (CAPTURES / "nanomdm-mdm-signature.body.plist").read_bytes()

    signer = cms.verify_detached(signature, body, allow_sha1=True)

    assert signer.certificate.serial_number == 0x22
    with pytest.raises(UnsupportedAlgorithm):
        cms.verify_detached(signature, body, allow_sha1=False)
    with pytest.raises(BadSignature):
        cms.verify_detached(signature, body.replace(b"plist", b"Plist", 1), allow_sha1=True)


def test_sha1_is_accepted_only_where_the_caller_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        cms.verify_detached(_signed(tmp_path, "-md", "sha1"), BODY, allow_sha1=False)


@pytest.mark.parametrize("digest", ["md5", "sha224"])
def test_other_digests_are_refused(tmp_path: Path, digest: str) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        cms.verify_detached(_signed(tmp_path, "-md", digest), BODY, allow_sha1=True)


def test_a_signature_that_brings_other_content_is_refused(tmp_path: Path) -> None:
    signature = _signed(tmp_path, "-nodetach", body=b"other")
    with pytest.raises(BadSignature):
        cms.verify_detached(signature, BODY, allow_sha1=False)


def test_a_signature_over_bare_content_is_refused_where_attributes_are_required(
    tmp_path: Path,
) -> None:
    signed = _signed(tmp_path, "-nodetach", "-noattr")
    with pytest.raises(BadSignature):
        cms.verify(signed, allow_sha1=False, require_attributes=True)


def test_attributes_cannot_be_replayed_as_content(tmp_path: Path) -> None:
    """The attributes' own bytes, presented as content without attributes (EUF-CMA attack)."""
    content = asn1crypto_cms.ContentInfo.load(_signed(tmp_path, "-nodetach"))
    data = content["content"]
    info = data["signer_infos"][0]
    attributes = info["signed_attrs"].untag().dump()
    info["signed_attrs"] = None
    data["encap_content_info"]["content"] = attributes
    with pytest.raises(BadSignature):
        cms.verify(content.dump(force=True), allow_sha1=False, require_attributes=True)


def test_attributes_sent_and_signed_in_another_order_verify(tmp_path: Path) -> None:
    """RFC 5652 signs the sorted set, whatever the order it was sent in."""
    content = asn1crypto_cms.ContentInfo.load(_signed(tmp_path))
    info = content["content"]["signer_infos"][0]
    backwards = list(reversed(list(info["signed_attrs"])))
    raw = b"".join(attribute.dump() for attribute in backwards)
    forwards = b"".join(attribute.dump() for attribute in info["signed_attrs"])
    signature = content.dump().replace(forwards, raw)
    assert raw in signature
    cms.verify_detached(signature, BODY, allow_sha1=False)


def test_attributes_signed_in_the_unsorted_order_they_were_sent_in_verify() -> None:
    """Not DER, yet what some signers do; the attributes are the same either way."""
    us = identity()
    content = asn1crypto_cms.ContentInfo.load(signing.sign(BODY, us.certificate, us.key))
    info = content["content"]["signer_infos"][0]
    attributes = [attribute.dump() for attribute in info["signed_attrs"]]
    forwards, backwards = b"".join(attributes), b"".join(reversed(attributes))
    assert isinstance(us.key, rsa.RSAPrivateKey)
    to_sign = bytes((0x31, len(backwards))) + backwards
    signature = us.key.sign(to_sign, padding.PKCS1v15(), hashes.SHA256())
    message = content.dump().replace(forwards, backwards)
    message = message.replace(info["signature"].native, signature)
    assert cms.verify(message, allow_sha1=False).content == BODY


def test_a_signer_of_an_unknown_kind_of_key_is_refused(tmp_path: Path) -> None:
    request = "req -x509 -newkey rsa:512 -nodes -keyout weak.key -out weak.pem -subj /CN=weak"
    openssl(tmp_path, *request.split(), "-days", "9")
    (tmp_path / "body").write_bytes(BODY)
    sign = "cms -sign -binary -in body -signer weak.pem -inkey weak.key -outform DER"
    with pytest.raises(UnsupportedAlgorithm):
        cms.verify_detached(openssl(tmp_path, *sign.split()), BODY, allow_sha1=False)


def test_a_known_certificate_is_read_once_and_a_huge_one_is_not_kept() -> None:
    us = identity("rsa", "once")
    signature = signing.sign(BODY, us.certificate, us.key, detached=True)
    first = cms.verify_detached(signature, BODY, allow_sha1=False)
    assert cms.verify_detached(signature, BODY, allow_sha1=False) is first

    huge = self_signed(us.key, "huge", comment=b"x" * 5000)
    signature = signing.sign(BODY, huge, us.key, detached=True)
    first = cms.verify_detached(signature, BODY, allow_sha1=False)
    assert cms.verify_detached(signature, BODY, allow_sha1=False) is not first


def test_what_was_proved_of_one_message_is_not_taken_for_another() -> None:
    us = identity("rsa", "once")
    signature = signing.sign(BODY, us.certificate, us.key, detached=True)
    cms.verify_detached(signature, BODY, allow_sha1=False)
    for changed in (BODY + b" ", BODY[:-1], b"", bytes([BODY[0] ^ 1]) + BODY[1:]):
        with pytest.raises(BadSignature):
            cms.verify_detached(signature, changed, allow_sha1=False)
    with pytest.raises((BadSignature, MalformedMessage, UnsupportedAlgorithm)):
        cms.verify_detached(signature[:-1] + bytes([signature[-1] ^ 1]), BODY, allow_sha1=False)


def test_a_sha1_signature_that_was_proved_is_still_refused_where_sha1_is_not_allowed(
    tmp_path: Path,
) -> None:
    request = "req -x509 -newkey rsa:2048 -nodes -keyout old.key -out old.pem -subj /CN=old"
    openssl(tmp_path, *request.split(), "-days", "9")
    (tmp_path / "body").write_bytes(BODY)
    sign = "cms -sign -binary -md sha1 -noattr -in body -signer old.pem -inkey old.key -outform DER"
    signature = openssl(tmp_path, *sign.split())
    cms.verify_detached(signature, BODY, allow_sha1=True)
    with pytest.raises(UnsupportedAlgorithm):
        cms.verify_detached(signature, BODY, allow_sha1=False)
