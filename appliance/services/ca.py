"""The certificate authority: answers SCEP, issues identities, revokes them."""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography.hazmat.primitives.serialization import Encoding

from appliance import logs
from appliance.config import ScepConfig
from appliance.errors import NotAuthorized, NotFound, ScepRefused
from appliance.scep import message as scep
from appliance.services.channels import end_renewals
from appliance.services.clock import DAY, MINUTE, now_ms, refuse_behind
from appliance.services.data_directory import Keys
from appliance.services.revocations import RevocationList
from appliance.services.rounds import Rounds, Steps
from appliance.store import certificates as store
from appliance.store import devices, enrollments, events, exchanges, links
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database
from appliance.store.links import Challenge
from appliance.wire import certificates
from appliance.wire.certificates import CertificateRequest
from appliance.wire.identities import Identity, IdentityIssuer

logger = logging.getLogger(__name__)

# A CertRep, and the serial number of the certificate that it delivers.
_Reply: TypeAlias = tuple[bytes, str | None]

_LONG_MESSAGE = 8 * 1024  # devices send less; a stranger's takes 10 ms, and no device waits for it
_RETRY_MS = 5 * MINUTE  # how long a lost reply may be asked for again
_MOST_HEIRS = 5  # of a device, which asks with a new key each time that the reply is lost
_MOST_A_DAY = 20  # certificates of a device; the revocation list must not be its to fill


@dataclass(frozen=True, slots=True, kw_only=True)
class CaStatus:
    """The authority, and how many certificates of it are in force."""

    subject: str
    not_after: datetime
    fingerprint_sha256: str
    valid: int
    revoked: int


class CertificateAuthority:
    """Issues a certificate for a one-time challenge or a valid identity, and for nothing else."""

    def __init__(
        self, database: Database, own: Keys, config: ScepConfig, organization: str
    ) -> None:
        self._database = database
        self._certificate = own.ca_certificate
        self._key = own.ca_key
        self._config = config
        self._issuer = IdentityIssuer(own.ca_certificate, own.ca_key, organization=organization)
        self._rounds: Rounds[bytes, _Reply] = Rounds(self._steps, database.write)
        self._long_rounds: Rounds[bytes, _Reply] = Rounds(self._steps, database.write)
        self._revocations = RevocationList(database, own.ca_certificate, own.ca_key)

    @property
    def certificate_der(self) -> bytes:
        """The CA certificate, for GetCACert and for profiles."""
        return self._certificate.public_bytes(Encoding.DER)

    @property
    def capabilities(self) -> str:
        """The answer to GetCACaps."""
        return scep.capabilities(legacy=self._config.legacy_ciphers)

    async def answer(self, pki_message: bytes) -> bytes:
        """Return the CertRep for a pkiMessage: success, or a signed failure.

        Raises:
            MalformedMessage, BadSignature, UnsupportedAlgorithm: nothing that can be answered.
            Busy: the store cannot take the certificate now, or the clock is wrong.
        """
        rounds = self._rounds if len(pki_message) <= _LONG_MESSAGE else self._long_rounds
        reply, serial = await rounds.ask(pki_message)
        if serial is not None:
            logger.info("certificate issued", extra={logs.SERIAL: serial})
        return reply

    async def status(self) -> CaStatus:
        """Return the state of the authority."""
        now = now_ms()
        valid, revoked = await self._database.read(lambda db: store.counts(db, now))
        return CaStatus(
            subject=self._certificate.subject.rfc4514_string(),
            not_after=self._certificate.not_valid_after_utc,
            fingerprint_sha256=certificates.fingerprint(self._certificate).hex(),
            valid=valid,
            revoked=revoked,
        )

    async def revoke(self, name: str) -> str:
        """Revoke a certificate by serial number, or the one that an enrollment uses.

        Returns the serial number in hex. The device is refused from its next request on.

        Raises:
            NotFound: there is no such certificate.
        """
        now = now_ms()

        def unit(db: Connection) -> str:
            serial = name.replace(":", "").lower().lstrip("0")
            found = store.by_serial(db, serial)
            if found is None:
                enrollment_id = devices.find_id(db, name)
                found = None if enrollment_id is None else store.current_of(db, enrollment_id)
            if found is None:
                raise NotFound("certificate", name)
            if store.revoke(db, found.sha256, reason="administrator", now=now):
                _end_renewals_by(db, found, now)
                events.add(
                    db, "certificate.revoked", now, enrollment_id=found.enrollment_id,
                    data={"serial": found.serial},
                )  # fmt: skip
            return found.serial

        return await self._database.write(unit)

    async def crl(self) -> bytes:
        """Return the current revocation list, DER."""
        return await self._revocations.current()

    def _steps(self, pki_message: bytes) -> Steps[_Reply]:
        """Return the CertRep, step by step: each ends with an RSA operation, or with the store.

        The certificate is made first and judged then, in the transaction that stores it, so that
        the store is asked once. Of one that is refused nothing leaves this object.
        """
        legacy = self._config.legacy_ciphers
        request = scep.parse_request(pki_message, legacy=legacy)
        yield None
        try:
            wish, cipher = scep.open_request(request, self._certificate, self._key, legacy=legacy)
        except ScepRefused as refusal:
            return self._refuse(request, refusal, refusal.fail_info), None
        yield None
        now = now_ms()
        refuse_behind(now)
        ended = now >= self._certificate.not_valid_after_utc.timestamp() * 1000
        made = None if ended else self._make(wish, now)

        def unit(db: Connection) -> Issued | NotAuthorized:
            try:
                return _store(db, made, request, wish, now)
            except NotAuthorized as refusal:
                # It has changed nothing yet; raised, it would have all that wait run again.
                _note_refusal(db, wish.challenge_password, refusal, now)
                return refusal

        outcome = yield unit
        if isinstance(outcome, NotAuthorized):
            return self._refuse(request, outcome, scep.BAD_REQUEST), None
        envelope = scep.seal(request, outcome.der, cipher)
        yield None
        return scep.success(request, envelope, self._certificate, self._key), outcome.serial

    def _make(self, wish: CertificateRequest, now: int) -> Identity:
        serial_number = certificates.new_serial_number()
        return self._issuer.issue(
            wish.public_key,
            common_name=f"Device identity {serial_number >> 96:08X}",
            serial_number=serial_number,
            now=datetime.fromtimestamp(now / 1000, UTC),
            days=self._config.identity_days,
        )

    def _refuse(self, request: scep.Request, refusal: Exception, fail_info: int) -> bytes:
        logger.warning("certificate refused", extra={logs.REASON: str(refusal)})
        return scep.failure(request, fail_info, self._certificate, self._key)


def new_challenge() -> str:
    """Return a new one-time challenge: 192 random bits as text."""
    return secrets.token_urlsafe(24)


def challenge_sha256(challenge: str) -> bytes:
    """Return what is stored of a challenge."""
    return hashlib.sha256(challenge.encode()).digest()


def profile_reference(challenge: bytes) -> str:
    """Return what stands in events for the profile with the challenge of this SHA-256."""
    return challenge.hex()[:16]


def _store(
    db: Connection, made: Identity | None, request: scep.Request, wish: CertificateRequest, now: int
) -> Issued:
    """Keep the certificate that was made and consume the challenge, both or neither.

    Returns it, or what the same transaction was given before: the reply was lost.

    Raises:
        NotAuthorized: nothing gives a right to it, or the authority has ended; nothing is changed.

    Source: RFC 8894 sections 2.3 and 3.3.1.2; macOS sends PKCSReq for renewals, too.
    """
    if made is None:
        raise NotAuthorized("the certificate authority has ended")
    transaction_id = request.transaction_id
    earlier = store.by_transaction(
        db, transaction_id, wish.public_key_sha256, since=now - _RETRY_MS
    )
    if earlier is not None:
        return earlier
    serial = f"{made.serial_number:x}"
    right, profile = _right_to(db, request, wish, now)
    issued = Issued(
        sha256=hashlib.sha256(made.der).digest(),
        serial=serial,
        der=made.der,
        public_key_sha256=wish.public_key_sha256,
        link_code=right.link_code,
        issued_for=right.issued_for,
        enrollment_id=None,
        issued_at=now,
        not_after=int(made.not_after.timestamp() * 1000),
        revoked_at=None,
    )
    store.add(db, issued, transaction_id=transaction_id)
    if issued.issued_for is not None:
        store.revoke_unused_for(db, issued.issued_for, now, keep=_MOST_HEIRS)
    if right.exchange_id is not None:
        exchanges.issued(db, right.exchange_id, issued.sha256)
    events.add(
        db, "certificate.issued", now, enrollment_id=issued.issued_for,
        link=None if right.link_code is None else links.reference(right.link_code),
        data={"serial": serial, **profile},
    )  # fmt: skip
    return issued


def _right_to(
    db: Connection, request: scep.Request, wish: CertificateRequest, now: int
) -> tuple[Challenge, dict[str, str]]:
    """Return by what right a certificate is asked for, and of which profile it makes use."""
    current = store.by_sha256(db, request.signer.sha256)
    if current is not None:
        return Challenge(link_code=None, issued_for=_renewed(db, current, wish, now)), {}
    sha256 = _challenge_of(request, wish)
    return links.consume_challenge(db, sha256, now), {"profile": profile_reference(sha256)}


def _end_renewals_by(db: Connection, revoked: Issued, now: int) -> None:
    """Let an identity that is revoked have no heirs: it may have asked for them before."""
    device_id = revoked.enrollment_id
    if device_id is None:
        return
    current = store.current_of(db, device_id)
    if current is not None and current.sha256 == revoked.sha256:
        end_renewals(db, device_id, now)


def _challenge_of(request: scep.Request, wish: CertificateRequest) -> bytes:
    """Return the SHA-256 of the challenge by which a first certificate is asked for."""
    if request.message_type == scep.RENEWAL_REQ:
        raise NotAuthorized("RenewalReq is signed by a certificate that is not ours")
    if not wish.challenge_password:
        raise NotAuthorized("the request has no challenge")
    return challenge_sha256(wish.challenge_password)


def _renewed(db: Connection, current: Issued, wish: CertificateRequest, now: int) -> str | None:
    """Return the enrollment whose identity the request may renew."""
    if current.revoked_at is not None or current.not_after <= now:
        raise NotAuthorized("the identity to renew is revoked or has expired")
    if current.public_key_sha256 == wish.public_key_sha256:
        raise NotAuthorized("a renewal needs a new key")
    bound = None if current.enrollment_id is None else enrollments.known(db, current.enrollment_id)
    if bound is None or bound.blocked or bound.state not in ("enrolled", "authenticated"):
        raise NotAuthorized("the identity to renew belongs to no enrolled device")
    if bound.certificate_sha256 != current.sha256:
        raise NotAuthorized("the identity to renew has been replaced already")
    if store.issued_to(db, bound.id, since=now - DAY, until=now) >= _MOST_A_DAY:
        raise NotAuthorized("the identity has been renewed too often within a day")
    return current.enrollment_id


def _note_refusal(db: Connection, challenge: str | None, refusal: NotAuthorized, now: int) -> None:
    """Tell the administrator why a device got no identity, at most once a minute for each link.

    Only who has a profile of ours knows a challenge; what strangers send is not recorded.
    """
    if not challenge:
        return
    sha256 = challenge_sha256(challenge)
    code = links.link_of(db, sha256)
    links.void_expired(db, now)  # before the clock can be set back
    if code is None:
        return
    kind, link = "certificate.refused", links.reference(code)
    if not events.happened(db, kind, link=link, since=now - MINUTE):
        data = {"reason": refusal.problem, "profile": profile_reference(sha256)}
        events.add(db, kind, now, link=link, data=data)
