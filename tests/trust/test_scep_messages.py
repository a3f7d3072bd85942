"""SCEP messages that are signed or sized wrongly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.simulator import cms, der, keys
from appliance.simulator.keys import Identity
from tests.device import scep
from tests.device.scep import Options
from tests.trust.authority import SUBJECT, Authority
from tests.trust.timing import quickest


def _wrong_digest(attributes: list[bytes]) -> list[bytes]:
    wrong = cms.attribute(cms.MESSAGE_DIGEST, der.octets(b"\x00" * 32))
    return [attributes[0], wrong, *attributes[2:]]


def _wrong_content_type(attributes: list[bytes]) -> list[bytes]:
    wrong = cms.attribute(cms.CONTENT_TYPE, der.oid(der.SIGNED_DATA))
    return [wrong, *attributes[1:]]


def _without(index: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda attributes: attributes[:index] + attributes[index + 1 :]


def _twice(index: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda attributes: [*attributes, attributes[index]]


BAD_SIGNATURES = {
    "wrong-digest": Options(change_attributes=_wrong_digest),
    "wrong-content-type": Options(change_attributes=_wrong_content_type),
    "no-content-type": Options(change_attributes=_without(0)),
    "no-digest": Options(change_attributes=_without(1)),
    "no-transaction": Options(change_attributes=_without(3)),
    "no-nonce": Options(change_attributes=_without(4)),
    "digest-twice": Options(change_attributes=_twice(1)),
    "transaction-twice": Options(change_attributes=_twice(3)),
    "no-attributes": Options(sign_attributes=False),
    "md5": Options(digest="md5"),
    "another-hash": Options(signature_digest="sha1"),
    "declared-weaker": Options(digest="sha1", signature_digest="sha256"),
}


@pytest.mark.parametrize("options", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
async def test_b15_a_message_signed_wrongly_is_refused(
    authority: Authority, options: Options
) -> None:
    challenge = await authority.challenge()
    await authority.refuses(
        scep.BAD_ALG,
        scep.BAD_MESSAGE_CHECK,
        scep.BAD_REQUEST,
        challenge=challenge,
        options=options,
    )
    await authority.client.enroll(challenge)


async def test_b16_two_signers_are_refused(authority: Authority) -> None:
    challenge = await authority.challenge()
    second = keys.self_signed(keys.name(("CN", "second")))
    options = Options(extra_signers=[second])
    await authority.refuses(challenge=challenge, options=options)


async def test_b16_a_hundred_embedded_certificates_are_refused(authority: Authority) -> None:
    challenge = await authority.challenge()
    key = keys.rsa_key()
    signer = keys.self_signed(keys.name(*SUBJECT), key)
    small = ec.generate_private_key(ec.SECP256R1())
    crowd = [keys.self_signed(keys.name(("CN", f"{n}")), small).der for n in range(100)]
    options = Options(certificates=[signer.der, *crowd])
    await authority.refuses(challenge=challenge, key=key, signer=signer, options=options)


async def test_b16_a_genuine_certificate_with_another_key_is_refused(
    authority: Authority,
) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    challenge = await authority.challenge()
    key = keys.rsa_key()
    forged = Identity(certificate=device.identity.certificate, key=key)
    await authority.refuses(challenge=challenge, key=key, signer=forged)
    await authority.client.enroll(challenge)


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b"\x30" * 1024


@pytest.mark.parametrize(
    ("body", "headers", "wanted"),
    [
        (b"", {}, {400}),
        (b"\x30" * (64 * 1024 + 1), {}, {413}),
        ("chunked", {}, {413}),
        (b"junk", {}, {400}),
        (b"\x1f\x8b\x08\x00" + b"\x00" * 64, {"Content-Encoding": "gzip"}, {415}),
    ],
    ids=["empty", "too-long", "chunked", "junk", "gzip"],
)
async def test_b19_a_body_out_of_bounds_is_refused_quickly(
    authority: Authority, body: bytes | str, headers: dict[str, str], wanted: set[int]
) -> None:
    url = authority.url + "?operation=PKIOperation"

    async def refused() -> None:
        data = _chunks(128 * 1024) if body == "chunked" else body
        request = authority.api.session.post(url, data=data, headers=headers)
        async with request as response:
            assert response.status in wanted

    await quickest(refused, below=0.1)


async def test_b19_a_gigabyte_is_refused_before_it_is_sent(authority: Authority) -> None:
    server = authority.api.server
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=server.tls, server_hostname="localhost"
    )
    writer.write(
        b"POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 1073741824\r\n\r\n"
    )
    answer = await asyncio.wait_for(reader.readline(), 60)
    assert b" 413 " in answer
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_b19_a_long_query_is_refused(authority: Authority) -> None:
    url = authority.url + "?operation=PKIOperation&message=" + "A" * 9000
    try:
        async with authority.api.session.get(url) as response:
            assert response.status in (400, 414)
    except aiohttp.ClientError:
        pytest.fail("the connection was closed without an answer")
