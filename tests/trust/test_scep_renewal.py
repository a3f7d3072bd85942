"""Who may renew an identity, and what a repeated request gets."""

from __future__ import annotations

import asyncio

import pytest

from appliance.simulator import keys
from appliance.simulator.keys import Identity
from tests.device import scep
from tests.device.scep import Options, ScepFailure
from tests.trust.authority import SUBJECT, Authority


async def renewal_is_refused(authority: Authority, identity: Identity) -> None:
    """A RenewalReq by this signer issues nothing."""
    before = authority.count()
    with pytest.raises(ScepFailure) as refused:
        await authority.client.renew(identity)
    assert refused.value.status in (200, 400)
    assert authority.count() == before


async def test_b12_a_current_identity_renews_itself_and_is_superseded(
    authority: Authority,
) -> None:
    device = await authority.api.enroll()
    old = device.identity
    assert old is not None
    device.identity = await authority.client.renew(old)
    assert (await device.authenticate()).status == 200
    assert (await device.token_update()).status == 200
    assert (await device.idle()).status == 200
    device.identity = old
    assert (await device.idle()).status == 400
    await renewal_is_refused(authority, old)


async def test_b12_a_pkcsreq_signed_by_a_current_identity_is_a_renewal(
    authority: Authority,
) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    device.identity = await authority.client.renew(device.identity, options=Options())
    assert (await device.authenticate()).status == 200


async def test_b12_strangers_do_not_renew(authority: Authority) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    genuine = device.identity.certificate
    ca = await authority.client.authority()
    other_authority = keys.self_signed(ca.subject)
    serial_number = genuine.serial_number
    for forged in (
        keys.self_signed(genuine.subject, serial_number=serial_number),
        keys.issued_by(other_authority, genuine.subject, serial_number=serial_number),
        keys.Identity(certificate=genuine, key=keys.rsa_key()),
    ):
        await renewal_is_refused(authority, forged)


async def test_b12_a_revoked_identity_does_not_renew(authority: Authority) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    authority.api.server.cli("ca", "revoke", device.id)
    await renewal_is_refused(authority, device.identity)


async def test_b12_a_checked_out_device_does_not_renew(authority: Authority) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    await device.check_out()
    await renewal_is_refused(authority, device.identity)


async def test_b12_a_renewal_brings_a_new_key(authority: Authority) -> None:
    device = await authority.api.enroll()
    assert device.identity is not None
    before = authority.count()
    with pytest.raises(ScepFailure):
        await authority.client.renew(device.identity, key=device.identity.key)
    assert authority.count() == before


async def test_b12_a_renewal_in_another_devices_name_stays_the_signers(
    authority: Authority,
) -> None:
    device, other = await authority.api.enroll(), await authority.api.enroll()
    assert device.identity is not None
    assert other.identity is not None
    subject = device.identity.certificate.subject
    try:
        other.identity = await authority.client.renew(other.identity, subject=subject)
    except ScepFailure:
        return
    assert other.identity.certificate.subject != subject
    other.identification = device.identification
    assert (await other.authenticate()).status == 400


async def test_b13_the_same_message_again_gets_the_same_certificate(
    authority: Authority,
) -> None:
    challenge = await authority.challenge()
    key = keys.rsa_key()
    signer = keys.self_signed(keys.name(*SUBJECT), key)
    ca = await authority.client.authority()
    request = scep.certificate_request(key, keys.name(*SUBJECT), challenge)
    message = scep.pki_message(request, ca, signer, Options())
    before = authority.count()
    first = await authority.client.exchange(message, ca)
    again = await asyncio.gather(*(authority.client.exchange(message, ca) for _ in range(5)))
    assert {each.certificates[0] for each in again} == set(first.certificates[:1])
    assert authority.count() == before + 1


async def test_a_renewal_races_two_requests_with_one_challenge(authority: Authority) -> None:
    """One of the two gets a certificate; the renewal is nobody's rival, and stays its device's."""
    for _ in range(5):
        device = await authority.api.enroll()
        assert device.identity is not None
        challenge, before = await authority.challenge(), authority.count()
        renewed, *others = await asyncio.gather(
            authority.client.renew(device.identity),
            authority.client.enroll(challenge),
            authority.client.enroll(challenge),
            return_exceptions=True,
        )
        assert isinstance(renewed, Identity)
        assert sorted(isinstance(other, Identity) for other in others) == [False, True]
        assert authority.count() == before + 2
        (fresh,) = (other for other in others if isinstance(other, Identity))
        device.identity = fresh
        assert (await device.authenticate()).status == 400, "it is another device's"
        device.identity = renewed
        assert (await device.authenticate()).status == 200


async def test_a_renewal_that_brings_a_challenge_is_not_both(authority: Authority) -> None:
    """The same key asks by its identity and by the challenge at once: two transactions, no more."""
    device = await authority.api.enroll()
    assert device.identity is not None
    challenge, key, before = await authority.challenge(), keys.rsa_key(), authority.count()
    results = await asyncio.gather(
        authority.client.renew(device.identity, key=key),
        authority.client.enroll(challenge, key=key),
        authority.client.enroll(challenge, key=key),
        return_exceptions=True,
    )
    made = [result for result in results if isinstance(result, Identity)]
    assert authority.count() - before == len(made) <= 2
    device.identity = next(result for result in results[:1] if isinstance(result, Identity))
    assert (await device.authenticate()).status == 200
