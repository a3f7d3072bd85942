"""Enrolling by proof: a device signs who it is, and gets a profile that is good for it alone.

Over the air it answers a challenge with the identity that Apple gave it, obtains one of ours for
this exchange, and signs again with that. MachineInfo is one message, signed by Apple's identity.
It answers no challenge, so it says for which device the profile is and does not prove who sent it.
"""

from __future__ import annotations

import asyncio
import logging

from appliance import logs
from appliance.config import Config
from appliance.errors import Busy, NotAuthorized
from appliance.mdm.attributes import DeviceAttributes, parse_attributes
from appliance.services.ca import challenge_sha256, new_challenge, profile_reference
from appliance.services.clock import MINUTE, now_ms
from appliance.services.device_identities import device_identities
from appliance.services.enrolling import EnrollingService, challenge_expiry
from appliance.services.identity import check_dates
from appliance.services.profiles import Profiles
from appliance.store import certificates, events, exchanges, links
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database
from appliance.store.exchanges import Exchange
from appliance.store.links import EnrollmentLink
from appliance.wire import cms
from appliance.wire.cms import Signer

logger = logging.getLogger(__name__)

_MOST_WAITING = 100


class OverTheAir:
    """Answers what devices sign; each answer is given once."""

    def __init__(
        self,
        database: Database,
        config: Config,
        profiles: Profiles,
        enrolling: EnrollingService,
    ) -> None:
        """Read who signs the identities of devices.

        Raises:
            ConfigError: the file that the configuration names cannot be used.
        """
        self._database = database
        self._config = config
        self._profiles = profiles
        self._identities = device_identities(config.enroll)
        self._enrolling = enrolling
        self._reading = asyncio.Semaphore(1)
        self._waiting = 0  # to be read

    async def begin(self, code: str) -> bytes:
        """Return what asks a device to say who it is, with a challenge of this link.

        Raises:
            NotFound: there never was such a link.
            Conflict: `link.closed`, or `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        link = await self._enrolling.open_link(code)
        await self._profiles.topic()
        challenge, now = new_challenge(), now_ms()
        expires_at = challenge_expiry(self._config.scep, link, now)
        sha256 = challenge_sha256(challenge)
        await self._database.write(
            lambda db: exchanges.begin(
                db, sha256, link_code=link.code, now=now, expires_at=expires_at
            )
        )
        return await self._profiles.service(challenge)

    async def answer(self, message: bytes) -> bytes:
        """Return the profile that follows: the exchange's identity, then the enrollment.

        Args:
            message: CMS SignedData with the device's attributes, DER or BER.

        Raises:
            MalformedMessage, BadSignature, UnsupportedAlgorithm: nobody signed this.
            NotAuthorized: the signer, the challenge or the device is not the right one.
            Conflict: `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        signer, attributes = await self._read(message)
        topic = await self._profiles.topic()
        ours = await self._database.read(lambda db: certificates.by_sha256(db, signer.sha256))
        if ours is None:
            return await self._identify(signer, attributes, topic)
        return await self._finish(signer, ours, attributes, topic)

    async def enroll(self, code: str, message: bytes) -> bytes:
        """Return the enrollment profile for the device that signed this MachineInfo.

        Raises:
            NotFound, Conflict, ClockWrong: as `begin`.
            MalformedMessage, BadSignature, UnsupportedAlgorithm, NotAuthorized: as `answer`.

        Source: "Device Management", MachineInfo.
        """
        link = await self._enrolling.open_link(code)
        topic = await self._profiles.topic()
        signer, attributes = await self._read(message)
        if attributes.challenge is not None:
            raise NotAuthorized("the message answers a challenge, and is no MachineInfo")
        status = "signed" if await self._prove(signer, link.code) else "unproven"
        challenge, now = new_challenge(), now_ms()

        def unit(db: Connection) -> None:
            open_link = _open_link(db, link.code, now)
            expires_at = challenge_expiry(self._config.scep, open_link, now)
            exchange_id = exchanges.add_identified(
                db, link_code=link.code, udid=attributes.udid,
                serial_number=attributes.serial_number, now=now, expires_at=expires_at,
            )  # fmt: skip
            _note_identified(db, link.code, attributes, status, now)
            _give_profile(db, open_link, exchange_id, challenge, now, expires_at)

        await self._database.write(unit)
        logger.info("device identified", extra={logs.ENROLLMENT_ID: attributes.udid})
        return await self._profiles.enrollment(topic, challenge)

    async def _read(self, message: bytes) -> tuple[Signer, DeviceAttributes]:
        """Read one after the other: strangers must not keep all threads busy."""
        if self._waiting >= _MOST_WAITING:
            raise Busy("too many signed messages at the same time")
        self._waiting += 1
        try:
            async with self._reading:
                return await asyncio.to_thread(_read, message)
        finally:
            self._waiting -= 1

    async def _identify(self, signer: Signer, attributes: DeviceAttributes, topic: str) -> bytes:
        """Phase 2: signed by the identity that Apple gave the device."""
        if attributes.challenge is None:
            raise NotAuthorized("the message has no challenge, and its signer is not ours")
        answered, now = challenge_sha256(attributes.challenge), now_ms()
        link_code = await self._database.read(lambda db: exchanges.check(db, answered, now))
        proven = await self._prove(signer, link_code)
        challenge = new_challenge()

        def unit(db: Connection) -> None:
            exchange = exchanges.identify(
                db, answered, udid=attributes.udid, serial_number=attributes.serial_number,
                proven=proven, now=now,
            )  # fmt: skip
            # Not of the link: a use of that is counted for the identity which enrolls.
            links.add_challenge(
                db, challenge_sha256(challenge), link_code=None, issued_for=None, now=now,
                expires_at=exchange.expires_at, exchange_id=exchange.id,
            )  # fmt: skip
            _note_identified(db, link_code, attributes, "proven" if proven else "unproven", now)

        await self._database.write(unit)
        logger.info("device identified", extra={logs.ENROLLMENT_ID: attributes.udid})
        return await self._profiles.identity(topic, challenge)

    async def _finish(
        self, signer: Signer, ours: Issued, attributes: DeviceAttributes, topic: str
    ) -> bytes:
        """Phase 3: signed by the identity that this exchange has given."""
        now = now_ms()
        check_dates(signer, now)
        challenge = new_challenge()

        def unit(db: Connection) -> None:
            exchange = _open_exchange(db, signer, attributes, now)
            if ours.revoked_at is not None:
                raise NotAuthorized("the certificate is revoked")
            link = _open_link(db, exchange.link_code, now)
            certificates.revoke(db, ours.sha256, reason="exchange", now=now)  # it has served
            expires_at = challenge_expiry(self._config.scep, link, now)
            exchanges.finish(db, exchange.id, now, expires_at=expires_at)
            _give_profile(db, link, exchange.id, challenge, now, expires_at)

        await self._database.write(unit)
        return await self._profiles.enrollment(topic, challenge)

    async def _prove(self, signer: Signer, link_code: str) -> bool:
        """Tell whether the identity is proven; a refusal is told to the link's administrator."""
        try:
            return self._identities.is_proven(signer)
        except NotAuthorized as refusal:
            reason, link, now = refusal.problem, links.reference(link_code), now_ms()

            def note(db: Connection) -> None:
                kind = "certificate.refused"
                if not events.happened(db, kind, link=link, since=now - MINUTE):
                    events.add(db, kind, now, link=link, data={"reason": reason})

            await self._database.write(note)
            raise


def _read(message: bytes) -> tuple[Signer, DeviceAttributes]:
    # Apple's devices sign with SHA-1. A signature over bare content is no way around attributes:
    # those are no property list.
    signed = cms.verify(message, allow_sha1=True)
    return signed.signer, parse_attributes(signed.content)


def _open_exchange(
    db: Connection, signer: Signer, attributes: DeviceAttributes, now: int
) -> Exchange:
    exchange = exchanges.of_certificate(db, signer.sha256)
    if exchange is None or exchange.identity_sha256 != signer.sha256:
        raise NotAuthorized("the certificate is for no exchange over the air")
    if exchange.finished:
        raise NotAuthorized("the enrollment profile was given before")
    if exchange.expires_at <= now:
        raise NotAuthorized("the exchange took too long")
    if not exchange.is_with(attributes.udid, attributes.serial_number):
        raise NotAuthorized("the exchange began with another device")
    return exchange


def _open_link(db: Connection, code: str, now: int) -> EnrollmentLink:
    link = links.get(db, code, now)
    if link.state != "open":
        raise NotAuthorized("the enrollment link is used up or revoked")
    return link


def _give_profile(
    db: Connection,
    link: EnrollmentLink,
    exchange_id: int,
    challenge: str,
    now: int,
    expires_at: int,
) -> None:
    sha256 = challenge_sha256(challenge)
    links.add_challenge(
        db, sha256, link_code=link.code, issued_for=None, now=now, expires_at=expires_at,
        exchange_id=exchange_id,
    )  # fmt: skip
    data = {"profile": profile_reference(sha256)}
    events.add(db, "link.profile_fetched", now, link=links.reference(link.code), data=data)


def _note_identified(
    db: Connection, link_code: str, attributes: DeviceAttributes, status: str, now: int
) -> None:
    data = {
        "udid": attributes.udid,
        "serial_number": attributes.serial_number,
        "status": status,
    }
    events.add(db, "link.device_identified", now, link=links.reference(link_code), data=data)
