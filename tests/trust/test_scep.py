"""The certificate authority against clients that cheat (RFC 8894)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import cms, der, keys
from appliance.simulator.keys import Identity
from tests.device import scep
from tests.device.database import columns, opened, tables
from tests.device.device import Device
from tests.device.scep import Options, ScepClient, ScepFailure
from tests.trust.authority import SUBJECT, Authority, openssl

ENROLLMENTS = int(os.environ.get("ENROLLMENTS", "20"))  # 500 for a proof
LINTER = Path(__file__).parents[2] / ".pkilint" / "bin" / "lint_pkix_cert"


async def test_b01_the_operations_answer_with_their_types(authority: Authority) -> None:
    client = authority.client
    status, content_type, body = await client.operation("GetCACaps")
    assert (status, content_type) == (200, "text/plain")
    wanted = {"Renewal", "SHA-1", "SHA-256", "AES", "DES3", "SCEPStandard", "POSTPKIOperation"}
    assert wanted <= set(body.decode().split())
    ca = await client.authority()
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment
    assert usage.key_cert_sign
    assert usage.crl_sign
    status, _, body = await client.operation("GetCACert", "any+name")
    assert x509.load_der_x509_certificate(body) == ca


@pytest.mark.parametrize("query", ["?operation=GetNextCACert", "?operation=Nonsense", "", "?x=y"])
async def test_b01_an_unknown_operation_is_400(authority: Authority, query: str) -> None:
    for method in ("GET", "POST"):
        request = authority.api.session.request(method, authority.url + query)
        async with request as response:
            assert response.status == 400
            assert response.content_type != "text/html"


async def test_b01_head_is_answered_like_get_without_a_body(authority: Authority) -> None:
    url = authority.url + "?operation=GetCACert"
    async with authority.api.session.head(url) as response:
        assert response.status == 200
        assert await response.read() == b""


@pytest.mark.parametrize("get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize("cipher", ["aes128", "aes256", "3des", "des"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
async def test_b01_every_cipher_and_digest_gets_a_certificate(
    authority: Authority, get: bool, cipher: str, digest: str
) -> None:
    client = ScepClient(authority.api.session, authority.url, get=get)
    challenge = await authority.challenge()
    key = keys.rsa_key()
    signer = keys.self_signed(keys.name(*SUBJECT), key)
    request = scep.certificate_request(key, keys.name(*SUBJECT), challenge)
    ca = await client.authority()
    options = Options(digest=digest, cipher=cipher, constructed=cipher == "des")
    reply = await client.exchange(scep.pki_message(request, ca, signer, options), ca)
    assert reply.opened is not None
    assert reply.opened.cipher == ("3des" if cipher == "des" else cipher)
    # Clients that write the ciphertext in parts read no other form.
    assert reply.opened.constructed is options.constructed
    assert reply.digest == digest
    assert reply.certificates[0].public_key() == key.public_key()


@pytest.mark.parametrize("challenge", [None, "", "wrong", "a\x00b", "x" * 10_000, "' OR 1=1 --"])
async def test_b03_without_a_valid_challenge_there_is_no_certificate(
    authority: Authority, challenge: str | None
) -> None:
    await authority.refuses(scep.BAD_REQUEST, challenge=challenge)


async def test_b03_a_challenge_with_something_appended_is_no_challenge(
    authority: Authority,
) -> None:
    challenge = await authority.challenge()
    for changed in (challenge + "\x00", challenge + " ", challenge.swapcase(), challenge[:-1]):
        await authority.refuses(scep.BAD_REQUEST, challenge=changed)
    await authority.client.enroll(challenge)


async def test_b04_only_two_message_types_get_a_certificate(authority: Authority) -> None:
    challenge = await authority.challenge()
    key = keys.rsa_key()
    before = authority.count()
    strange = [str(number) for number in range(256) if number not in (17, 19)]
    strange += ["19 ", "019", " 19", "", "-19", "19.0", "nineteen", "1" * 5000]
    for message_type in [*strange, None]:
        options = Options(message_type=message_type)
        with pytest.raises(ScepFailure) as refused:
            await authority.client.enroll(challenge, key=key, options=options)
        assert refused.value.status in (200, 400), message_type
    assert authority.count() == before
    await authority.client.enroll(challenge, key=key)


async def test_b04_two_message_types_are_one_too_many(authority: Authority) -> None:
    def doubled(attributes: list[bytes]) -> list[bytes]:
        return [*attributes, cms.attribute(scep.MESSAGE_TYPE, der.printable("3"))]

    def two_values(attributes: list[bytes]) -> list[bytes]:
        values = der.printable("19"), der.printable("3")
        return [*attributes, cms.attribute(scep.MESSAGE_TYPE, *values)]

    challenge = await authority.challenge()
    await authority.refuses(challenge=challenge, options=Options(change_attributes=doubled))
    options = Options(message_type=None, change_attributes=two_values)
    await authority.refuses(challenge=challenge, options=options)


async def test_b06_a_used_challenge_is_void_for_another_key(authority: Authority) -> None:
    challenge = await authority.challenge()
    await authority.client.enroll(challenge)
    await authority.refuses(scep.BAD_REQUEST, challenge=challenge)


async def test_b06_fifty_requests_at_once_with_one_challenge_get_one_certificate(
    authority: Authority,
) -> None:
    challenge = await authority.challenge()
    before = authority.count()
    made = await asyncio.gather(*(asyncio.to_thread(keys.rsa_key) for _ in range(50)))
    enrollments = (authority.client.enroll(challenge, key=key) for key in made)
    results = await asyncio.gather(*enrollments, return_exceptions=True)
    assert sum(isinstance(each, Identity) for each in results) == 1
    refused = [each for each in results if not isinstance(each, Identity)]
    assert {type(each) for each in refused} == {ScepFailure}
    assert authority.count() == before + 1


async def test_b07_the_subject_is_the_servers_choice(authority: Authority) -> None:
    device = await authority.api.enroll()
    subjects = [
        keys.name(("CN", "admin"), ("OU", "administrators"), ("O", "Apple Inc.")),
        keys.name(("CN", "localhost")),
        keys.name(("CN", device.udid), ("2.5.4.5", device.serial_number)),
        keys.name(("CN", "MDM$" + device.udid)),
        keys.name(("CN", "\uff21dmin")),
    ]
    for subject in subjects:
        key, challenge = keys.rsa_key(), await authority.challenge()
        request = scep.certificate_request(key, subject, challenge)
        issued = (await authority.client.enroll(challenge, key=key, request=request)).certificate
        wanted = {attribute.value for attribute in subject}
        given = {str(attribute.value) for attribute in issued.subject}
        assert not wanted & given, issued.subject
        with pytest.raises(x509.ExtensionNotFound):
            issued.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def expire_challenges(data: Path) -> int:
    """Move every challenge's end into the past; returns how many there were."""
    with opened(data, write=True) as connection:
        (table,) = [name for name in tables(connection) if "challenge" in name]
        (column,) = [name for name in columns(connection, table) if "expires" in name]
        past = int(datetime.now(UTC).timestamp()) - 1
        changed = connection.execute(f'UPDATE "{table}" SET "{column}" = {past}')
        connection.commit()
        return changed.rowcount


async def test_b21_an_expired_challenge_is_void(authority: Authority) -> None:
    challenge = await authority.challenge()
    try:
        assert expire_challenges(authority.api.server.data) >= 1
    except sqlite3.OperationalError as error:
        pytest.fail(f"the database was busy: {error}")
    await authority.refuses(scep.BAD_REQUEST, challenge=challenge)


async def test_b22_parallel_enrollments_get_different_serial_numbers(
    authority: Authority,
) -> None:
    link = await authority.api.new_link(uses=ENROLLMENTS)
    profiles = [await authority.api.download(link) for _ in range(ENROLLMENTS)]
    devices = [Device(authority.api.session) for _ in profiles]
    before = authority.count()
    together = asyncio.Semaphore(200)  # one address has no more than 256 connections

    async def enroll(device: Device, profile: bytes) -> None:
        async with together:
            await device.enroll_from_profile(profile)

    await asyncio.gather(*map(enroll, devices, profiles))
    serials = {d.identity.certificate.serial_number for d in devices if d.identity}
    assert len(serials) == ENROLLMENTS
    assert min(serial.bit_length() for serial in serials) > 64
    assert authority.count() == before + ENROLLMENTS


async def test_b24_the_certificate_satisfies_openssl(
    authority: Authority, device: Device, tmp_path: Path
) -> None:
    assert device.identity is not None
    certificate = device.identity.certificate
    ca_file = authority.api.server.data / "keys" / "ca.pem"
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
    checks = ["-x509_strict", "-check_ss_sig", "-purpose", "sslclient", "-CAfile", ca_file]
    assert b"OK" in openssl("verify", *checks, leaf)
    text = openssl("x509", "-in", leaf, "-noout", "-text").decode()
    assert "Version: 3" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "X509v3 Subject Key Identifier" in text
    assert "TLS Web Client Authentication" in text
    assert "CA:FALSE" in text
    age = datetime.now(UTC) - certificate.not_valid_before_utc
    assert 590 <= age.total_seconds() <= 700
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    assert certificate.serial_number != ca.serial_number
    assert all(attribute.value for attribute in ca.subject)


@pytest.mark.skipif(not LINTER.exists(), reason="needs pkilint: scripts/external-programs")
async def test_b24_the_linter_finds_nothing(
    authority: Authority, device: Device, tmp_path: Path
) -> None:
    assert device.identity is not None
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(device.identity.certificate.public_bytes(Encoding.PEM))
    keys = authority.api.server.data / "keys"
    for certificate in (leaf, keys / "ca.pem", keys / "root.pem"):
        command = [str(LINTER), "lint", "--severity", "NOTICE", str(certificate)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, ""), done
