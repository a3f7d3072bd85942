"""Who may push, and whom we push to."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from appliance.apns import (
    Accepted,
    CertificateRefused,
    PushSender,
    Retry,
    push_ssl_context,
)
from appliance.errors import ConfigError, InvalidRequest
from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import ApnsAuthority
from tests.apns.conftest import TARGET, MakeSender, client_context


async def test_a_push_certificate_of_another_ca_is_refused(
    apns: ApnsServer, authority: ApnsAuthority, make_sender: MakeSender, tmp_path: Path
) -> None:
    stranger = client_context(ApnsAuthority(), authority, tmp_path)
    sender = make_sender(tls=stranger)

    outcome = await sender.send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, CertificateRefused)
    assert "TLS alert" in outcome.reason
    assert await sender.send(TARGET, expires_in_seconds=60) == outcome, "nor asked again at once"
    assert apns.connection_count == 1


async def test_an_expired_push_certificate_is_refused(
    apns: ApnsServer, authority: ApnsAuthority, make_sender: MakeSender, tmp_path: Path
) -> None:
    expired = client_context(authority, authority, tmp_path, valid=False)

    outcome = await make_sender(tls=expired).send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, CertificateRefused)
    assert "EXPIRED" in outcome.reason


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_push_certificate_is_refused_in_each_tls_version(
    apns: ApnsServer,
    authority: ApnsAuthority,
    make_sender: MakeSender,
    tmp_path: Path,
    version: ssl.TLSVersion,
) -> None:
    ca_file = tmp_path / "anchor.pem"
    ca_file.write_bytes(authority.certificate_pem)
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_alpn_protocols(["h2"])
    context.maximum_version = version

    outcome = await make_sender(tls=context).send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, CertificateRefused), outcome


async def test_f_03_a_server_of_another_ca_gets_no_push(
    apns: ApnsServer, authority: ApnsAuthority, make_sender: MakeSender, tmp_path: Path
) -> None:
    context = client_context(authority, ApnsAuthority(), tmp_path)

    outcome = await make_sender(tls=context).send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, Retry)
    assert "the push server's certificate is not trusted" in outcome.reason
    assert apns.push_count == 0


async def test_without_a_trust_anchor_only_the_systems_cas_are_trusted(apns: ApnsServer) -> None:
    sender = PushSender(host="127.0.0.1", port=apns.port, ssl_context=None)

    outcome = await sender.send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, Retry)
    assert "not trusted" in outcome.reason
    await sender.close()


async def test_a_server_without_http2_gets_no_push(
    apns: ApnsServer, authority: ApnsAuthority, make_sender: MakeSender, tmp_path: Path
) -> None:
    context = client_context(authority, authority, tmp_path)
    context.set_alpn_protocols(["http/1.1"])

    outcome = await make_sender(tls=context).send(TARGET, expires_in_seconds=60)

    assert isinstance(outcome, Retry)
    assert apns.push_count == 0


async def test_a_renewed_certificate_is_a_new_sender(
    apns: ApnsServer, authority: ApnsAuthority, make_sender: MakeSender, tmp_path: Path
) -> None:
    old = make_sender()
    assert isinstance(await old.send(TARGET, expires_in_seconds=60), Accepted)

    new = make_sender(tls=client_context(authority, authority, tmp_path))
    await old.close()

    assert isinstance(await new.send(TARGET, expires_in_seconds=60), Accepted)


async def test_a_context_that_verifies_nobody_is_not_accepted() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    with pytest.raises(ConfigError):
        PushSender(host="localhost", port=1, ssl_context=context)


def test_the_private_key_is_on_disk_for_a_moment_and_encrypted(
    authority: ApnsAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    written: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def observed(context: ssl.SSLContext, path: Path, password: str) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        written.append(path.read_bytes())
        load(context, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", observed)
    pair = authority.push()

    context = push_ssl_context(pair.certificate_pem, pair.key_pem, None, str(tmp_path))

    assert modes == [0o600]
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in written[0]
    assert pair.key_pem.splitlines()[1] not in written[0]
    assert list(tmp_path.iterdir()) == []
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_key_of_another_certificate_is_refused_and_leaves_no_file(
    authority: ApnsAuthority, tmp_path: Path
) -> None:
    certificate, key = authority.push().certificate_pem, authority.push().key_pem

    with pytest.raises(InvalidRequest, match="cannot be used"):
        push_ssl_context(certificate, key, None, str(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_trust_anchor_that_cannot_be_read_is_a_configuration_error(
    authority: ApnsAuthority, tmp_path: Path
) -> None:
    pair = authority.push()

    with pytest.raises(ConfigError, match=r"push\.ca_file"):
        push_ssl_context(
            pair.certificate_pem, pair.key_pem, str(tmp_path / "missing"), str(tmp_path)
        )
