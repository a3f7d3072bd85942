"""The test device proven against openssl, before anything is proven with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.simulator import cms, keys
from appliance.simulator.cms import Signer
from appliance.simulator.failures import MessageRefused
from appliance.simulator.keys import Identity
from tests.programs import program

BODY = b"<plist>\r\n<dict/>\n</plist>\x00"


@pytest.fixture(scope="module")
def identity() -> Identity:
    """An RSA identity."""
    return keys.self_signed(keys.name(("CN", "device")))


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run openssl in a folder."""
    return subprocess.run(
        [program("openssl"), *arguments], cwd=folder, capture_output=True, check=False
    )


@pytest.mark.parametrize("indefinite", [False, True], ids=["der", "ber"])
@pytest.mark.parametrize("attributes", [False, True], ids=["bare", "attributes"])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("elliptic", [False, True], ids=["rsa", "ec"])
def test_openssl_verifies_every_form_of_signature(
    tmp_path: Path,
    identity: Identity,
    digest: str,
    attributes: bool,
    indefinite: bool,
    elliptic: bool,
) -> None:
    if elliptic:
        key = ec.generate_private_key(ec.SECP256R1())
        identity = keys.self_signed(keys.name(("CN", "device")), key)
    signature = cms.sign_body(
        BODY, identity, digest=digest, attributes=attributes, indefinite=indefinite
    )
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "signature").write_bytes(signature)
    verify = ["cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-in", "signature"]
    done = openssl(tmp_path, *verify, "-content", "body")
    assert done.returncode == 0, done.stderr
    assert done.stdout == BODY
    (tmp_path / "body").write_bytes(BODY + b" ")
    assert openssl(tmp_path, *verify, "-content", "body").returncode != 0


@pytest.mark.parametrize("constructed", [False, True], ids=["primitive", "constructed"])
@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "3des"])
def test_openssl_opens_every_envelope(
    tmp_path: Path, identity: Identity, cipher: str, constructed: bool
) -> None:
    sealed = cms.envelope(BODY, identity.certificate, cipher, constructed=constructed)
    (tmp_path / "sealed").write_bytes(sealed)
    (tmp_path / "identity.pem").write_bytes(identity.pem)
    decrypt = ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", "sealed"]
    done = openssl(tmp_path, *decrypt, "-recip", "identity.pem")
    assert done.stdout == BODY, done.stderr


def test_an_envelope_and_a_signed_message_read_back(identity: Identity) -> None:
    sealed = cms.envelope(BODY, identity.certificate, "aes128", constructed=True)
    opened = cms.open_envelope(sealed, identity)
    assert (opened.content, opened.cipher, opened.constructed) == (BODY, "aes128", True)
    attributes = cms.basic_attributes(BODY, "sha256")
    verified = cms.verify(cms.signed_data(BODY, [Signer(identity=identity, attributes=attributes)]))
    assert verified.content == BODY
    assert verified.signer == identity.certificate


def test_a_signature_over_other_content_is_noticed(identity: Identity) -> None:
    attributes = cms.basic_attributes(b"other", "sha256")
    signed = cms.signed_data(BODY, [Signer(identity=identity, attributes=attributes)])
    with pytest.raises(MessageRefused, match="messageDigest"):
        cms.verify(signed)
