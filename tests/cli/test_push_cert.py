"""`appliance push-cert` without a server: the files that Apple's portal and Keychain give."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from appliance.simulator.keys import Identity, key_pem
from tests.device.server import lab_push_certificate

from .conftest import Cli

TOPIC = f"com.apple.mgmt.External.{uuid.UUID(int=1)}"


@pytest.fixture(scope="module")
def identity() -> Identity:
    return lab_push_certificate(TOPIC)


def _pem(identity: Identity) -> bytes:
    return identity.certificate.public_bytes(Encoding.PEM)


def _pkcs12(identity: Identity, password: bytes) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"push", identity.key, identity.certificate, None, BestAvailableEncryption(password)
    )


def _topic(run: Cli, data: Path) -> object:
    return run("push-cert", "status", "--json", "--data", data).json["topic"]


def test_certificate_and_key_come_in_two_files(
    run: Cli, data: Path, tmp_path: Path, identity: Identity
) -> None:
    certificate, key = tmp_path / "push.pem", tmp_path / "push.key"
    certificate.write_bytes(_pem(identity))
    key.write_bytes(key_pem(identity.key))
    done = run("push-cert", "import", certificate, key, "--account", "it@acme", "--data", data)
    assert done.status == 0, done.err
    assert TOPIC in done.out
    assert "it@acme" in run("push-cert", "status", "--data", data).out


def test_or_as_der_or_in_one_file(run: Cli, data: Path, tmp_path: Path, identity: Identity) -> None:
    certificate, key = tmp_path / "push.cer", tmp_path / "push.key"
    certificate.write_bytes(identity.der)
    key.write_bytes(identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    both = tmp_path / "both.pem"
    both.write_bytes(_pem(identity) + key_pem(identity.key))
    for files in ((certificate, key), (both,)):
        assert run("push-cert", "import", *files, "--data", data).status == 0
        assert _topic(run, data) == TOPIC


def test_or_as_pkcs12_with_its_password(
    run: Cli, data: Path, tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "push.p12"
    file.write_bytes(_pkcs12(identity, b"apple"))
    refused = run("push-cert", "import", file, "--password", "pear", "--data", data)
    assert refused.status != 0
    assert "password" in refused.err
    assert _topic(run, data) is None
    monkeypatch.setenv("APPLIANCE_PUSH_PASSWORD", "apple")
    assert run("push-cert", "import", file, "--data", data).status == 0
    assert _topic(run, data) == TOPIC


def test_the_account_is_kept_at_renewal(
    run: Cli, data: Path, tmp_path: Path, identity: Identity
) -> None:
    file = tmp_path / "push.pem"
    file.write_bytes(identity.pem)
    arguments = ("push-cert", "import", file, "--json", "--data", data)
    for options, noted in ((("--account", "it@acme"), "it@acme"), ((), "it@acme")):
        assert run(*arguments, *options).json["account"] == noted
    assert run(*arguments, "--account", "").json["account"] == ""


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx"])
def test_what_is_no_certificate_is_named_and_changes_nothing(
    run: Cli, data: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "push.pem"
    file.write_bytes(content)
    done = run("push-cert", "import", file, "--data", data)
    assert done.status in (2, 7), done
    assert done.err.startswith("error[")
    assert "Traceback" not in done.err
    assert _topic(run, data) is None


def test_a_key_of_another_certificate_is_refused(
    run: Cli, data: Path, tmp_path: Path, identity: Identity
) -> None:
    certificate, key = tmp_path / "push.pem", tmp_path / "push.key"
    certificate.write_bytes(_pem(identity))
    key.write_bytes(key_pem(lab_push_certificate(TOPIC).key))
    done = run("push-cert", "import", certificate, key, "--data", data)
    assert done.status != 0
    assert "push_certificate.key_mismatch" in done.err
