"""SCEP messages that are not quite DER, and answers that give nothing away."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from appliance.simulator import cms, der, keys
from tests.device import scep
from tests.device.scep import Options, PkiMessage
from tests.trust.authority import SUBJECT, Authority

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures"
MUTATIONS = int(os.environ.get("MUTATIONS", "300"))


async def message_for(authority: Authority, options: Options | None = None) -> PkiMessage:
    """A request with a wrong challenge."""
    key = keys.rsa_key()
    signer = keys.self_signed(keys.name(*SUBJECT), key)
    ca = await authority.client.authority()
    request = scep.certificate_request(key, keys.name(*SUBJECT), "wrong")
    return scep.pki_message(request, ca, signer, options or Options())


async def refused(authority: Authority, message: bytes) -> None:
    """Answered as refused: by status, or by a signed CertRep."""
    status, body = await authority.client.post(message)
    assert status in (200, 400), (status, body[:200])
    if status == 200:
        assert cms.verify(body).attributes[scep.PKI_STATUS] == b"2"


async def test_b10_truncated_messages_are_refused(authority: Authority) -> None:
    whole = (await message_for(authority)).der
    before = authority.count()
    for length in range(1, len(whole), max(1, len(whole) // MUTATIONS)):
        await refused(authority, whole[:length])
    assert authority.count() == before


async def test_b10_mutated_messages_are_refused(authority: Authority) -> None:
    whole = (await message_for(authority)).der
    dice = random.Random(20)  # noqa: S311 - the same mutations in every run
    before = authority.count()
    for _ in range(MUTATIONS):
        mutated = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            mutated[dice.randrange(min(len(mutated), 400))] = dice.choice((0, 0x80, 0xFF, 0x30))
        if bytes(mutated) != whole:
            await refused(authority, bytes(mutated))
    assert authority.count() == before


@pytest.mark.parametrize(
    "message",
    [
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80" * 10_000,
        b"\x30\x80\x06\x09",
        b"\xa0\x80" * 5_000 + b"\x00\x00" * 5_000,
        b"\x30\x00",
        b"\x31\x00",
        der.sequence(der.oid(der.SIGNED_DATA), b"\xa0\x00"),
        b"\x00" * 1000,
    ],
    ids=["length", "depth", "no-end", "deep-end", "empty", "empty-set", "no-content", "zeros"],
)
async def test_b10_nonsense_is_refused(authority: Authority, message: bytes) -> None:
    await refused(authority, message)


async def test_b10_trailing_bytes_are_refused(authority: Authority) -> None:
    await refused(authority, (await message_for(authority)).der + b"\x00")


def broken_envelopes(message: bytes) -> dict[str, bytes]:
    """Envelopes that fail at different depths of their decryption."""
    return {
        "padding": message[:-1] + bytes([message[-1] ^ 1]),
        "ciphertext": message[:-40] + bytes([message[-40] ^ 1]) + message[-39:],
    }


async def test_b18_no_refusal_tells_where_decryption_failed(authority: Authority) -> None:
    ca = await authority.client.authority()
    key = keys.rsa_key()
    signer = keys.self_signed(keys.name(*SUBJECT), key)
    request = scep.certificate_request(key, keys.name(*SUBJECT), "wrong")
    sealed = cms.envelope(request, ca, "aes256")
    other_key = cms.envelope(request, keys.self_signed(ca.subject).certificate, "aes256")
    serial = cms.issuer_and_serial(ca)
    envelopes = {
        "challenge": sealed,
        "no request": cms.envelope(b"no request" * 60, ca, "aes256"),
        "empty": cms.envelope(b"", ca, "aes256"),
        **broken_envelopes(sealed),
    }
    assert serial in sealed
    assert serial not in other_key
    answers = set()
    for envelope in envelopes.values():
        options = Options(transaction_id="same", envelope=envelope)
        message = scep.pki_message(request, ca, signer, options)
        status, body = await authority.client.post(message.der)
        reply = scep.read_reply(body, message, [ca])
        answers.add((status, len(body), reply.fail_info))
    assert len(answers) == 1, answers


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*PK*.der")) or [None], ids=str)
async def test_b10_captured_requests_to_another_authority_are_refused(
    authority: Authority, path: Path | None
) -> None:
    if path is None:
        pytest.skip("the captures are not on this machine")
    await refused(authority, path.read_bytes())
