"""What a device must sign to be given an enrollment profile, and all that is refused."""

from __future__ import annotations

import asyncio
import plistlib
import time
from typing import Any

import pytest
from cryptography import x509

from appliance.simulator import keys
from appliance.simulator.profile import Profile
from tests.device.apple import AppleLike
from tests.device.database import opened
from tests.device.device import Device
from tests.device.over_the_air import ProvingDevice
from tests.device.scep import ScepClient, ScepFailure
from tests.device.server import Api, RunningServer


@pytest.fixture(scope="module")
def look_alike(tmp_path_factory: pytest.TempPathFactory) -> AppleLike:
    """The same names in the same chain, with other keys."""
    return AppleLike(tmp_path_factory.mktemp("look-alike"))


@pytest.fixture(scope="module")
def server(believing: RunningServer) -> RunningServer:
    """Not the shared one."""
    return believing


def given(api: Api) -> list[Any]:
    """All that gives a device a right: challenges, certificates, what was said to be proven."""
    with opened(api.server.data) as db:
        return [
            db.execute("SELECT count(*), count(used_at) FROM challenges").fetchone(),
            db.execute("SELECT count(*) FROM certificates").fetchone(),
            db.execute(
                "SELECT count(*), count(identified_at), count(finished_at) FROM exchanges"
            ).fetchone(),
        ]


async def refused(proving: ProvingDevice, message: bytes, url: str = "") -> None:
    """The message is refused, without a word, and nothing is given for it."""
    before = given(proving.api)
    posted = await proving.post(message, url)
    assert (posted.status, posted.body) == (400, b"")
    assert given(proving.api) == before


LIES = (
    "nobody",
    "its own key",
    "a look-alike",
    "a developer",
    "an authority's name",
    "another body",
)


def lie(kind: str, proving: ProvingDevice, challenge: str | None, look_alike: AppleLike) -> bytes:
    """What a device that is not Apple's, or not this one, could send."""
    honest = proving.message(challenge)
    match kind:
        case "nobody":
            start = honest.index(b"<?xml")
            return honest[start : honest.index(b"</plist>") + len(b"</plist>")]
        case "its own key":
            return proving.message(challenge, by=keys.self_signed(keys.name(("CN", "iPhone"))))
        case "a look-alike":
            return look_alike.sign(_content(honest), look_alike.device())
        case "a developer":
            return proving.message(challenge, by=proving.apple.developer())
        case "an authority's name":
            fake = keys.self_signed(proving.apple.authority.subject)
            return proving.message(challenge, by=keys.issued_by(fake, keys.name(("CN", "iPhone"))))
        case _:
            mine = proving.device.serial_number.encode()
            assert mine in honest
            return honest.replace(mine, mine[::-1])


def _content(signed: bytes) -> bytes:
    return signed[signed.index(b"<?xml") : signed.index(b"</plist>") + len(b"</plist>")]


@pytest.mark.parametrize("kind", LIES)
async def test_a_15_only_what_apples_authority_for_devices_signed_is_answered(
    api: Api, apple: AppleLike, look_alike: AppleLike, kind: str
) -> None:
    link = await api.new_link()
    proving = ProvingDevice(api, apple)
    challenge = await proving.challenge(link)
    await refused(proving, lie(kind, proving, challenge, look_alike))
    await refused(proving, lie(kind, proving, None, look_alike), link.url)
    assert (await proving.post(proving.message(challenge))).status == 200, "not used up by that"


async def test_a_15_each_message_is_answered_once(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=3)
    proving = ProvingDevice(api, apple)
    first = proving.message(await proving.challenge(link))
    scep = Profile.read((await proving.post(first)).body).scep
    await refused(proving, first)
    identity = await ScepClient(api.session, scep["URL"]).enroll(scep["Challenge"])
    await refused(proving, first)
    last = proving.message(by=identity)
    assert (await proving.post(last)).status == 200
    await refused(proving, last)


async def test_a_15_an_answer_to_a_challenge_is_no_machine_info(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=3)
    proving = ProvingDevice(api, apple)
    message = proving.message(await proving.challenge(link))
    assert (await proving.post(message)).status == 200
    await refused(proving, message, link.url)
    await refused(proving, proving.message("of another site"), link.url)


async def test_a_15_the_identity_of_an_exchange_ends_with_it(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=3)
    proving = ProvingDevice(api, apple)
    identity = await proving.obtain(link)
    assert (await proving.post(proving.message(by=identity))).status == 200
    assert identity.certificate.serial_number in await _revoked(api)
    await refused(proving, proving.message(by=identity))
    assert "the enrollment profile was given before" in api.server.log.read_text()
    late = ProvingDevice(api, apple)
    identity = await late.obtain(link)
    _end_exchanges(api)
    async with asyncio.timeout(90):  # housekeeping comes once a minute
        while identity.certificate.serial_number not in await _revoked(api):
            await asyncio.sleep(0.5)


async def _revoked(api: Api) -> set[int]:
    async with api.session.get(f"{api.server.url}/ca.crl") as response:
        crl = x509.load_der_x509_crl(await response.read())
    return {entry.serial_number for entry in crl}


async def test_a_15_of_many_at_once_one_is_answered(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=3)
    proving = ProvingDevice(api, apple)
    message = proving.message(await proving.challenge(link))
    first = await asyncio.gather(*[proving.post(message) for _ in range(20)])
    assert sorted(one.status for one in first) == [200] + [400] * 19
    (body,) = [one.body for one in first if one.body]
    scep = Profile.read(body).scep
    identity = await ScepClient(api.session, scep["URL"]).enroll(scep["Challenge"])
    message = proving.message(by=identity)
    last = await asyncio.gather(*[proving.post(message) for _ in range(20)])
    assert sorted(one.status for one in last) == [200] + [400] * 19


@pytest.mark.parametrize("challenge", [None, "", "guessed", "of SCEP"])
async def test_a_15_a_device_of_apples_needs_a_challenge_of_ours(
    api: Api, apple: AppleLike, challenge: str | None
) -> None:
    proving = ProvingDevice(api, apple)
    if challenge == "of SCEP":
        challenge = str(Profile.read(await api.profile()).scep["Challenge"])
    await refused(proving, proving.message(challenge))


async def test_a_15_the_challenge_is_none_of_scep(api: Api, apple: AppleLike) -> None:
    challenge = await ProvingDevice(api, apple).challenge(await api.new_link())
    with pytest.raises(ScepFailure):
        await ScepClient(api.session, f"{api.server.url}/scep").enroll(challenge)


async def test_a_15_another_device_cannot_go_on_with_the_exchange(
    api: Api, apple: AppleLike
) -> None:
    proving = ProvingDevice(api, apple)
    identity = await proving.obtain(await api.new_link())
    mine = proving.device.serial_number
    proving.device.serial_number = "C0THERS"
    await refused(proving, proving.message(by=identity))
    proving.device.serial_number, udid = mine, proving.device.udid
    proving.device.udid = "00000000-0000-0000-0000-000000000000"
    await refused(proving, proving.message(by=identity))
    proving.device.udid = udid
    assert (await proving.post(proving.message(by=identity))).status == 200


async def test_a_15_the_identity_of_an_exchange_enrolls_nothing(api: Api, apple: AppleLike) -> None:
    link = await api.new_link()
    proving = ProvingDevice(api, apple)
    identity = await proving.obtain(link)
    thief = Device(api.session, udid=proving.device.udid)
    thief.identity, thief.topic = identity, api.server.topic
    thief.server_url = thief.check_in_url = f"{api.server.url}/mdm"
    thief.serial_number = proving.device.serial_number
    for _ in range(2):
        for reply in (await thief.authenticate(), await thief.token_update(), await thief.idle()):
            assert reply.status == 400
        with pytest.raises(ScepFailure):
            await ScepClient(api.session, f"{api.server.url}/scep").renew(identity)
        await proving.post(proving.message(by=identity))  # before its end, and after
    assert (await api.get(f"/api/v1/devices/{thief.id}")).status == 404


async def test_a_15_the_profile_is_for_the_device_that_proved_itself(
    api: Api, apple: AppleLike
) -> None:
    proving = ProvingDevice(api, apple)
    posted = await proving.post(proving.message(by=await proving.obtain(await api.new_link())))
    right = proving.device
    await right.obtain_identity(posted.body)
    other = Device(api.session)
    other.read_profile(posted.body)
    other.identity = right.identity
    assert (await other.authenticate()).status == 400
    assert (await right.authenticate(SerialNumber="C0THERS")).status == 400
    assert (await right.authenticate(SerialNumber=None)).status == 400
    by_enrollment_id = Device(api.session, enrollment_id=right.udid)
    by_enrollment_id.read_profile(posted.body)
    by_enrollment_id.identity = right.identity
    by_itself = await by_enrollment_id.authenticate(SerialNumber=right.serial_number)
    assert by_itself.status == 400, "a user enrollment of this name is another"
    assert (await right.authenticate()).status == 200


async def test_a_07_proof_does_not_take_an_enrolled_device_over(api: Api, apple: AppleLike) -> None:
    victim = await api.enroll()
    proving = ProvingDevice(api, apple)
    proving.device.udid = victim.udid
    proving.device.serial_number = victim.serial_number
    link = await api.new_link()
    posted = await proving.post(proving.message(), link.url)
    thief = Device(api.session, udid=victim.udid)
    thief.serial_number = victim.serial_number
    await thief.obtain_identity(posted.body)
    assert (await thief.authenticate()).status == 400
    assert (await victim.idle()).status == 200


async def test_a_15_an_enrolled_device_gets_nothing_by_its_identity(
    api: Api, apple: AppleLike
) -> None:
    proving = ProvingDevice(api, apple)
    proving.device = await api.enroll()
    challenge = await proving.challenge(await api.new_link())
    for text in (challenge, None):
        await refused(proving, proving.message(text, by=proving.device.identity))


async def test_a_15_a_link_that_is_over_ends_its_exchanges(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=5)
    proving = ProvingDevice(api, apple)
    challenge = await proving.challenge(link)
    identity = await proving.obtain(link)
    api.server.cli("enroll", "revoke", link.code)
    await refused(proving, proving.message(challenge))
    await refused(proving, proving.message(by=identity))
    assert (await proving.post(proving.message(), link.url)).status == 409
    async with api.session.get(f"{link.url}/ota.mobileconfig") as response:
        assert response.status == 410
    unknown = f"{api.server.url}/e/AAAA-BBBB-CCCC"
    assert (await proving.post(proving.message(), unknown)).status == 404


def _end_exchanges(api: Api) -> None:
    with opened(api.server.data, write=True) as db:
        db.execute("UPDATE exchanges SET expires_at = ?", (int(time.time() * 1000) - 1,))
        db.commit()


async def test_a_15_what_took_too_long_is_void(api: Api, apple: AppleLike) -> None:
    link = await api.new_link(uses=5)
    late, later = ProvingDevice(api, apple), ProvingDevice(api, apple)
    challenge = await late.challenge(link)
    identity = await later.obtain(link)
    _end_exchanges(api)
    await refused(late, late.message(challenge))
    await refused(later, later.message(by=identity))


async def test_a_15_the_administrator_is_told_what_could_not_prove_itself(
    api: Api, apple: AppleLike, look_alike: AppleLike
) -> None:
    link = await api.new_link()
    for _ in range(3):
        proving = ProvingDevice(api, look_alike)
        await proving.post(proving.message(await proving.challenge(link)))
        await proving.post(proving.message(), link.url)
    with opened(api.server.data) as db:
        told = db.execute("SELECT data FROM events WHERE kind = 'certificate.refused'").fetchall()
    assert len([data for (data,) in told if "no authority of Apple" in data]) >= 1
    log = api.server.log.read_text()
    assert link.code not in log
    assert 'path="/e/CODE"' in log


async def test_what_is_no_signed_plist_of_a_device_is_refused(api: Api, apple: AppleLike) -> None:
    link = await api.new_link()
    proving = ProvingDevice(api, apple)
    whole = {"UDID": "A-1", "SERIAL": "C1", "CHALLENGE": await proving.challenge(link)}
    for change in (
        {"UDID": None}, {"SERIAL": None}, {"UDID": 1}, {"SERIAL": ["C1"]}, {"CHALLENGE": 5},
        {"UDID": "A:1"}, {"UDID": ""}, {"SERIAL": ""}, {"SERIAL": "C\n1"}, {"UDID": "A" * 999},
        {"SERIAL": " "}, {"SERIAL": " C1"},
    ):  # fmt: skip
        attributes = {k: v for k, v in {**whole, **change}.items() if v is not None}
        await refused(proving, apple.sign(plistlib.dumps(attributes), proving.signer))
    for content in (b"", b"text", plistlib.dumps([1]), plistlib.dumps(whole)[:-9]):
        await refused(proving, apple.sign(content, proving.signer))
    assert (await proving.post(b"\0" * (64 * 1024 + 1))).status == 413
    assert (await proving.post(b"x", **{"Content-Encoding": "gzip"})).status == 415


async def test_broken_messages_are_refused_and_block_nobody(api: Api, apple: AppleLike) -> None:
    proving = ProvingDevice(api, apple)
    honest = proving.message(await proving.challenge(await api.new_link()))
    for cut in range(0, len(honest), len(honest) // 60):
        await refused(proving, honest[:cut])
    for at in range(0, len(honest), len(honest) // 60):
        changed = honest[:at] + bytes([honest[at] ^ 1]) + honest[at + 1 :]
        # What embedded certificates say beside the signer's is nobody's concern.
        assert (await proving.post(changed)).status in (200, 400)
