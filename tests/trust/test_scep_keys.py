"""Which keys the certificate authority certifies."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from appliance.simulator import cms, der, keys
from tests.device import scep
from tests.device.scep import Options, ScepFailure
from tests.trust.authority import SUBJECT, Authority, openssl
from tests.trust.timing import quickest


def openssl_request(folder: Path, algorithm: list[str], challenge: str) -> bytes:
    """A request for a key of any kind that openssl can make."""
    (folder / "req.cnf").write_text(
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN=device\n"
        f"[at]\nchallengePassword={challenge}\n"
    )
    if algorithm[0] == "dsa":
        parameters = folder / "parameters.pem"
        openssl("dsaparam", "-out", parameters, "1024")
        openssl("gendsa", "-out", folder / "key.pem", parameters)
    else:
        openssl("genpkey", *algorithm, "-out", folder / "key.pem")
    arguments = ["-key", folder / "key.pem", "-config", folder / "req.cnf", "-outform", "DER"]
    return openssl("req", "-new", *arguments)


def _rsa(bits: int, *more: str) -> list[str]:
    return ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", *more]


def _ec(curve: str, *more: str) -> list[str]:
    return ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", *more]


BAD_KEYS = {
    "rsa-512": _rsa(512),
    "rsa-1024": _rsa(1024),
    "rsa-2047": _rsa(2047),
    "rsa-6144": _rsa(6144, "-pkeyopt", "rsa_keygen_primes:4"),
    "rsa-e3": _rsa(2048, "-pkeyopt", "rsa_keygen_pubexp:3"),
    "p192": _ec("prime192v1"),
    "secp256k1": _ec("secp256k1"),
    "p256-explicit": _ec("P-256", "-pkeyopt", "ec_param_enc:explicit"),
    "ed25519": ["-algorithm", "ED25519"],
    "dsa": ["dsa"],
}


@pytest.mark.parametrize("algorithm", BAD_KEYS.values(), ids=BAD_KEYS)
async def test_b09_weak_and_strange_keys_are_refused_quickly(
    authority: Authority, tmp_path: Path, algorithm: list[str]
) -> None:
    challenge = await authority.challenge()
    request = openssl_request(tmp_path, algorithm, challenge)
    signer = keys.self_signed(keys.name(*SUBJECT))
    ca = await authority.client.authority()
    message = scep.pki_message(request, ca, signer, Options())
    before = authority.count()

    async def refused() -> None:
        with pytest.raises(ScepFailure) as failure:
            await authority.client.exchange(message, ca)
        assert failure.value.fail_info == scep.BAD_ALG

    await quickest(refused, below=0.2)
    assert authority.count() == before


def forged_request(modulus: int, exponent: int, challenge: str) -> bytes:
    """A request whose key is any two numbers; its signature is right when the exponent is 1."""
    spki = der.sequence(
        der.algorithm("1.2.840.113549.1.1.1"),
        der.tlv(0x03, b"\x00", der.sequence(der.integer(modulus), der.integer(exponent))),
    )
    password = cms.attribute("1.2.840.113549.1.9.7", der.printable(challenge))
    name = keys.name(*SUBJECT).public_bytes()
    info = der.sequence(der.integer(0), name, spki, der.tlv(0xA0, password))
    digest = cms.DIGESTS["sha256"]
    hashed = der.sequence(der.algorithm(digest.oid), der.octets(cms.digest_of(info, "sha256")))
    padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(hashed)) + b"\x00" + hashed
    return der.sequence(info, der.algorithm(digest.rsa_oid), der.tlv(0x03, b"\x00", padded))


@pytest.mark.parametrize("degenerate", ["exponent 1", "even modulus", "32768 bits"])
async def test_b09_degenerate_rsa_numbers_are_refused(
    authority: Authority, degenerate: str
) -> None:
    modulus, exponent = keys.rsa_key().public_key().public_numbers().n, 65537
    if degenerate == "exponent 1":
        exponent = 1
    elif degenerate == "even modulus":
        modulus -= 1
    else:
        modulus = (modulus << 30_720) | 1
    request = forged_request(modulus, exponent, await authority.challenge())
    key = keys.rsa_key()
    fail_infos = scep.BAD_ALG, scep.BAD_REQUEST

    async def refused() -> None:
        await authority.refuses(*fail_infos, challenge=None, key=key, request=request)

    await quickest(refused, below=0.2)


@pytest.mark.parametrize(
    "algorithm",
    [_rsa(2048), _rsa(3072), _rsa(4096), _ec("P-256"), _ec("P-384")],
    ids=["rsa-2048", "rsa-3072", "rsa-4096", "p256", "p384"],
)
async def test_b09_good_keys_are_accepted(
    authority: Authority, tmp_path: Path, algorithm: list[str]
) -> None:
    challenge = await authority.challenge()
    request = openssl_request(tmp_path, algorithm, challenge)
    signer = keys.self_signed(keys.name(*SUBJECT))
    ca = await authority.client.authority()
    message = scep.pki_message(request, ca, signer, Options())
    issued = (await authority.client.exchange(message, ca)).certificates[0]
    wanted = x509.load_der_x509_csr(request).public_key()
    assert issued.public_key() == wanted
