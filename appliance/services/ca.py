"""The certificate authority: answers SCEP, issues identities, revokes them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance import logs
from appliance.config import ScepConfig
from appliance.errors import (
    BadSignature,
    Busy,
    NotAuthorized,
    NotFound,
    ScepRefused,
    UnsupportedAlgorithm,
)
from appliance.scep import message as scep
from appliance.services.clock import MINUTE, now_ms, refuse_behind
from appliance.services.data_directory import Keys
from appliance.store import certificates as store
from appliance.store import devices, enrollments, events, links
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database
from appliance.wire import certificates
from appliance.wire.certificates import CertificateRequest
from appliance.wire.envelope import Cipher

logger = logging.getLogger(__name__)

T = TypeVar("T")

_RETRY_MS = 5 * MINUTE  # how long a lost reply may be asked for again


@dataclass(frozen=True, slots=True, kw_only=True)
class CaStatus:
    """The authority, and how many certificates of it are in force."""

    subject: str
    not_after: datetime
    fingerprint_sha256: str
    valid: int
    revoked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    """By what right a certificate is asked for: a challenge, or the identity it renews."""

    challenge_sha256: bytes | None
    issued_for: str | None


class CertificateAuthority:
    """Issues a certificate for a one-time challenge or a valid identity, and for nothing else."""

    def __init__(
        self, database: Database, own: Keys, config: ScepConfig, organization: str
    ) -> None:
        self._database = database
        self._certificate = own.ca_certificate
        self._key = own.ca_key
        self._config = config
        self._organization = organization
        # RSA takes a millisecond and more; threads keep it off the event loop.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scep")

    @property
    def certificate_der(self) -> bytes:
        """The CA certificate, for GetCACert and for profiles."""
        return self._certificate.public_bytes(Encoding.DER)

    @property
    def capabilities(self) -> str:
        """The answer to GetCACaps."""
        return scep.capabilities(legacy=self._config.legacy_ciphers)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, pki_message: bytes) -> bytes:
        """Return the CertRep for a pkiMessage: success, or a signed failure.

        Raises:
            MalformedMessage, BadSignature, UnsupportedAlgorithm: nothing that can be answered.
            Busy: the store cannot take the certificate now, or the clock is wrong.
        """
        request, opened = await self._run(self._open, pki_message)
        challenge = None if isinstance(opened, ScepRefused) else opened[0].challenge_password
        try:
            if isinstance(opened, ScepRefused):
                raise opened
            return await self._issue(request, *opened)
        except ScepRefused as refusal:
            return await self._refuse(request, refusal, refusal.fail_info)
        except UnsupportedAlgorithm as refusal:
            return await self._refuse(request, refusal, scep.BAD_ALG)
        except BadSignature as refusal:
            return await self._refuse(request, refusal, scep.BAD_REQUEST)
        except NotAuthorized as refusal:
            await self._note_refusal(challenge, refusal)
            return await self._refuse(request, refusal, scep.BAD_REQUEST)

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
                events.add(
                    db, "certificate.revoked", now, enrollment_id=found.enrollment_id,
                    data={"serial": found.serial},
                )  # fmt: skip
            return found.serial

        return await self._database.write(unit)

    async def crl(self) -> bytes:
        """Return the current revocation list, DER."""
        now = now_ms()
        revoked = await self._database.read(lambda db: store.revoked(db, now))
        return await self._run(
            certificates.certificate_revocation_list,
            [(int(entry.serial, 16), entry.revoked_at) for entry in revoked],
            ca_certificate=self._certificate,
            ca_key=self._key,
            number=now // 1000,
            now=datetime.fromtimestamp(now / 1000, UTC),
        )

    async def _issue(
        self, request: scep.Request, wish: CertificateRequest, cipher: Cipher
    ) -> bytes:
        now = now_ms()
        refuse_behind(now)
        if now >= self._certificate.not_valid_after_utc.timestamp() * 1000:
            raise NotAuthorized("the certificate authority has ended")
        authority = await self._database.read(lambda db: _authority(db, request, wish, now))
        if isinstance(authority, Issued):  # the reply was lost: the same one, not a second
            certificate = x509.load_der_x509_certificate(authority.der)
            return await self._run(self._success, request, certificate, cipher)
        certificate, reply = await self._run(self._sign, request, wish, cipher, now)
        issued = Issued(
            sha256=certificates.fingerprint(certificate),
            serial=f"{certificate.serial_number:x}",
            der=certificate.public_bytes(Encoding.DER),
            public_key_sha256=wish.public_key_sha256,
            link_code=None,
            issued_for=authority.issued_for,
            enrollment_id=None,
            issued_at=now,
            not_after=int(certificate.not_valid_after_utc.timestamp() * 1000),
            revoked_at=None,
        )
        stored = await self._database.write(
            lambda db: _store(db, issued, authority, request.transaction_id, now)
        )
        if stored is not None:  # a retry of the same transaction overtook this one
            certificate = x509.load_der_x509_certificate(stored.der)
            reply = await self._run(self._success, request, certificate, cipher)
        logger.info("certificate issued", extra={logs.SERIAL: issued.serial})
        return reply

    def _open(
        self, pki_message: bytes
    ) -> tuple[scep.Request, tuple[CertificateRequest, Cipher] | ScepRefused]:
        """Return the request, and what is inside or why it cannot be read."""
        legacy = self._config.legacy_ciphers
        request = scep.parse_request(pki_message, legacy=legacy)
        try:
            opened = scep.open_request(request, self._certificate, self._key, legacy=legacy)
        except ScepRefused as refusal:
            return request, refusal
        return request, opened

    def _sign(
        self, request: scep.Request, wish: CertificateRequest, cipher: Cipher, now: int
    ) -> tuple[x509.Certificate, bytes]:
        """Make certificate and reply; neither leaves this server before it is stored."""
        serial_number = certificates.new_serial_number()
        certificate = certificates.issue_identity(
            wish.public_key,
            common_name=f"Device identity {serial_number >> 96:08X}",
            organization=self._organization,
            ca_certificate=self._certificate,
            ca_key=self._key,
            now=datetime.fromtimestamp(now / 1000, UTC),
            days=self._config.identity_days,
            serial_number=serial_number,
        )
        return certificate, self._success(request, certificate, cipher)

    def _success(
        self, request: scep.Request, certificate: x509.Certificate, cipher: Cipher
    ) -> bytes:
        return scep.success(request, certificate, self._certificate, self._key, cipher)

    async def _refuse(self, request: scep.Request, refusal: Exception, fail_info: int) -> bytes:
        logger.warning("certificate refused", extra={logs.REASON: str(refusal)})
        return await self._run(scep.failure, request, fail_info, self._certificate, self._key)

    async def _note_refusal(self, challenge: str | None, refusal: NotAuthorized) -> None:
        """Tell the administrator why a device got no identity, at most once a minute for each link.

        Only who has a profile of ours knows a challenge; what strangers send is not recorded.
        """
        if not challenge:
            return
        now, sha256 = now_ms(), challenge_sha256(challenge)

        def unit(db: Connection) -> None:
            code = links.link_of(db, sha256)
            links.void_expired(db, now)  # before the clock can be set back
            if code is None:
                return
            kind, link = "certificate.refused", links.reference(code)
            if not events.happened(db, kind, link=link, since=now - MINUTE):
                data = {"reason": refusal.problem, "profile": profile_reference(sha256)}
                events.add(db, kind, now, link=link, data=data)

        await self._database.write(unit)

    async def _run(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        call = partial(function, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except RuntimeError as error:  # the pool is closed: the server is stopping
            raise Busy("the server is stopping") from error


def challenge_sha256(challenge: str) -> bytes:
    """Return what is stored of a challenge."""
    return hashlib.sha256(challenge.encode()).digest()


def profile_reference(challenge: bytes) -> str:
    """Return what stands in events for the profile with the challenge of this SHA-256."""
    return challenge.hex()[:16]


def _authority(
    db: Connection, request: scep.Request, wish: CertificateRequest, now: int
) -> _Authority | Issued:
    """Say by what right the request asks, or what it was given before; nothing is consumed yet.

    Source: RFC 8894 sections 2.3 and 3.3.1.2; macOS sends PKCSReq for renewals, too.
    """
    earlier = store.by_transaction(
        db, request.transaction_id, wish.public_key_sha256, since=now - _RETRY_MS
    )
    if earlier is not None:
        return earlier
    current = store.by_sha256(db, request.signer.sha256)
    if current is not None:
        return _renewal(db, current, wish, now)
    if request.message_type == scep.RENEWAL_REQ:
        raise NotAuthorized("RenewalReq is signed by a certificate that is not ours")
    if not wish.challenge_password:
        raise NotAuthorized("the request has no challenge")
    sha256 = challenge_sha256(wish.challenge_password)
    challenge = links.check_challenge(db, sha256, now)
    return _Authority(challenge_sha256=sha256, issued_for=challenge.issued_for)


def _renewal(db: Connection, current: Issued, wish: CertificateRequest, now: int) -> _Authority:
    if current.revoked_at is not None or current.not_after <= now:
        raise NotAuthorized("the identity to renew is revoked or has expired")
    if current.public_key_sha256 == wish.public_key_sha256:
        raise NotAuthorized("a renewal needs a new key")
    bound = None if current.enrollment_id is None else enrollments.known(db, current.enrollment_id)
    if bound is None or bound.blocked or bound.state not in ("enrolled", "authenticated"):
        raise NotAuthorized("the identity to renew belongs to no enrolled device")
    if bound.certificate_sha256 != current.sha256:
        raise NotAuthorized("the identity to renew has been replaced already")
    return _Authority(challenge_sha256=None, issued_for=current.enrollment_id)


def _store(
    db: Connection, issued: Issued, authority: _Authority, transaction_id: str, now: int
) -> Issued | None:
    """Consume the challenge and keep the certificate, both or neither."""
    earlier = store.by_transaction(
        db, transaction_id, issued.public_key_sha256, since=now - _RETRY_MS
    )
    if earlier is not None:
        return earlier
    if authority.challenge_sha256 is not None:
        challenge = links.consume_challenge(db, authority.challenge_sha256, now)
        issued = replace(issued, link_code=challenge.link_code)
    store.add(db, issued, transaction_id=transaction_id)
    data = {"serial": issued.serial}
    if authority.challenge_sha256 is not None:
        data["profile"] = profile_reference(authority.challenge_sha256)
    code = issued.link_code
    events.add(
        db, "certificate.issued", now, enrollment_id=issued.issued_for,
        link=None if code is None else links.reference(code), data=data,
    )  # fmt: skip
    return None
