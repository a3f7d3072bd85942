"""Moving here: devices that another server enrolled, and the identities that they bring along.

The other server's check-in messages make the enrollment, without an identity. The first request of
the device then gives it one, once: a certificate whose SHA-256 an administrator told, or else
one of an authority that an administrator trusts for this. See decision 0025.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from appliance import logs
from appliance.errors import Busy, Conflict, InvalidRequest, NotFound
from appliance.mdm import device
from appliance.mdm.checkin import Authenticate, CheckinMessage, SetBootstrapToken, TokenUpdate
from appliance.mdm.enrollment import EnrollmentID
from appliance.services.channels import end_channels, keep, take_token
from appliance.services.clock import DAY, now_ms
from appliance.services.push_certificates import PushCertificates
from appliance.services.vault import Vault
from appliance.store import awaited, certificates, devices, enrollments, events
from appliance.store.awaited import Awaited, AwaitedDevice
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database, from_ms
from appliance.wire.certificates import fingerprint, load_certificates
from appliance.wire.cms import Signer
from appliance.wire.keys import public_key_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority of another server, whose certificates count for devices that are awaited."""

    subject: str
    fingerprint_sha256: str
    not_after: datetime
    trusted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Of how many awaited devices certificates were told, and which IDs are not awaited."""

    expected: int
    unknown: list[str]


class MovingService:
    """Takes the enrollments of another server, and devices with the identity they have."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        push_certificates: PushCertificates,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._vault = vault
        self._push_certificates = push_certificates
        self._wake = wake

    async def check_in(self, message: CheckinMessage) -> None:
        """Store what a device once told another server; an administrator answers for it.

        Raises:
            InvalidRequest: a message that makes no enrollment, or another push topic.
            Conflict: the device has come here already; what it says itself counts.
        """
        if not isinstance(message, Authenticate | TokenUpdate | SetBootstrapToken):
            raise InvalidRequest(f"{type(message).__name__} cannot be moved")
        if not isinstance(message, SetBootstrapToken):
            await self._check_topic(message.topic)
        now = now_ms()
        await self._database.write(lambda db: self._store(db, message, now))
        self._wake()
        logger.info("check-in of another server", extra={logs.ENROLLMENT_ID: message.enrollment.id})

    async def adopt(self, signer: Signer, enrollment: EnrollmentID) -> bool:
        """Give an awaited device the identity it came with; tell whether it may have it."""
        device_id, now = enrollment.parent_id or enrollment.id, now_ms()

        def look(db: Connection) -> tuple[Awaited, list[bytes]] | None:
            found = _may_come(db, device_id, signer)
            if found is None:
                return None
            return found, [one.der for one in awaited.authorities(db)]

        looked = await self._database.read(look)
        if looked is None:
            return False
        found, authorities = looked
        if found.expected:
            counts = signer.sha256 in found.expected
        else:
            counts = await asyncio.to_thread(_is_issued_by, signer.certificate, authorities)
        if not counts or now > signer.not_after * 1000:
            await self._note(signer, device_id, now)
            return False

        def unit(db: Connection) -> bool:
            if _may_come(db, device_id, signer) != found:
                return False
            certificates.add(db, _issued(signer, now), transaction_id="")
            certificates.bind(db, signer.sha256, device_id)
            enrollments.adopt(db, device_id, signer.sha256)
            awaited.remove(db, device_id)
            data = {"certificate_sha256": signer.sha256.hex()}
            events.add(db, "device.arrived", now, enrollment_id=device_id, data=data)
            return True

        return await self._database.write(unit)

    async def awaited(
        self, cursor: str | None, limit: int
    ) -> tuple[list[AwaitedDevice], str | None]:
        """Return the devices that have not come yet, and the cursor of the next page."""
        found = await self._database.read(
            lambda db: awaited.devices(db, after=cursor or "", limit=limit + 1)
        )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def expect(self, pairs: Set[tuple[str, bytes]]) -> Expected:
        """Tell which certificate each device has, by the SHA-256 of its DER.

        Of several for one device any counts: another server remembers each that it ever had.

        Raises:
            Conflict: the same certificate for two devices.
        """
        if len({sha256 for _, sha256 in pairs}) < len(pairs):
            raise Conflict("one certificate is named for two devices", code="moving.ambiguous")
        told: defaultdict[str, list[bytes]] = defaultdict(list)
        for name, sha256 in sorted(pairs):
            told[name].append(sha256)

        def unit(db: Connection) -> list[str]:
            return [name for name, digests in told.items() if not awaited.expect(db, name, digests)]

        unknown = await self._database.write(unit)
        return Expected(expected=len(told) - len(unknown), unknown=unknown)

    async def authorities(self) -> list[Authority]:
        """Return the authorities whose certificates count for awaited devices."""
        found = await self._database.read(awaited.authorities)
        return [
            _authority(x509.load_der_x509_certificate(one.der), from_ms(one.trusted_at))
            for one in found
        ]

    async def trust(self, pem: bytes) -> list[Authority]:
        """Let the certificates of these authorities count for awaited devices.

        Raises:
            InvalidRequest: not certificates of authorities.
        """
        found = load_certificates(pem)
        for certificate in found:
            if not _is_authority(certificate):
                raise InvalidRequest(
                    f"{certificate.subject.rfc4514_string()} is no certificate authority",
                    fix="give the certificate of the server's SCEP authority, as PEM",
                )
        now = now_ms()

        def unit(db: Connection) -> None:
            for certificate in found:
                der = certificate.public_bytes(Encoding.DER)
                shown = _authority(certificate, None)
                awaited.trust(db, bytes.fromhex(shown.fingerprint_sha256), der, now)
                data = {"subject": shown.subject, "fingerprint": shown.fingerprint_sha256}
                events.add(db, "former_authority.trusted", now, data=data)

        await self._database.write(unit)
        return [_authority(certificate, from_ms(now)) for certificate in found]

    async def distrust(self, name: str) -> None:
        """Let them count no more; devices that have come stay.

        Raises:
            NotFound: it is not trusted.
        """
        now, text = now_ms(), name.replace(":", "").lower()

        def unit(db: Connection) -> None:
            try:
                known = awaited.distrust(db, bytes.fromhex(text))
            except ValueError:
                known = False
            if not known:
                raise NotFound("certificate", name)
            data = {"fingerprint": text}
            events.add(db, "former_authority.distrusted", now, data=data)

        await self._database.write(unit)

    def _store(
        self, db: Connection, message: Authenticate | TokenUpdate | SetBootstrapToken, now: int
    ) -> None:
        enrollment = message.enrollment
        if isinstance(message, Authenticate):
            _begin(db, message, now)
            return
        _refuse_arrived(db, enrollment)
        if isinstance(message, SetBootstrapToken):
            if message.bootstrap_token is not None:
                token = message.bootstrap_token
                keep(db, self._vault, enrollment.id, "bootstrap_token", token, now)
            return
        tally = take_token(db, self._vault, message, now)
        if tally == 1 and not enrollment.is_user_channel:
            events.add(db, "device.moved", now, enrollment_id=enrollment.id)

    async def _check_topic(self, topic: str) -> None:
        expected = await self._push_certificates.topic()
        if topic != expected:
            raise InvalidRequest(
                f"the device listens to the push topic {topic}",
                code="moving.topic",
                why="a device can be woken only with the push certificate of its own topic",
                fix="import the other server's push certificate first",
            )

    async def _note(self, signer: Signer, device_id: str, now: int) -> None:
        """Tell people of it once a day."""
        kind = "device.arrival_refused"
        data = {
            "certificate_sha256": signer.sha256.hex(),
            "issuer": signer.certificate.issuer.rfc4514_string(),
        }

        def unit(db: Connection) -> None:
            if not events.happened(db, kind, since=now - DAY, enrollment_id=device_id):
                events.add(db, kind, now, enrollment_id=device_id, data=data)

        try:
            await self._database.write(unit)
        except Busy:  # what the device is told does not depend on it
            return


def _begin(db: Connection, message: Authenticate, now: int) -> None:
    device_id = message.enrollment.id
    known = enrollments.known(db, device_id)
    is_awaited = awaited.get(db, device_id) is not None
    if known is not None:
        if known.blocked:
            raise Conflict("an administrator blocked the device", code="moving.not_possible")
        if known.state in ("enrolled", "authenticated") and not is_awaited:
            raise _arrived(device_id)
    if is_awaited:
        enrollments.end_users(db, device_id, now)
    else:
        end_channels(db, device_id, now)
    enrollments.begin(db, message.enrollment, sha256=None, topic=message.topic, now=now)
    awaited.put(db, device_id, now)
    devices.put_facts(db, device_id, device.from_authenticate(message))


def _refuse_arrived(db: Connection, enrollment: EnrollmentID) -> None:
    """A user channel that is not known yet may follow its device."""
    device_id = enrollment.parent_id or enrollment.id
    if awaited.get(db, device_id) is not None:
        return
    known = enrollments.known(db, device_id)
    if known is None:
        raise NotFound("device", device_id, fix="send its Authenticate message first")
    is_new = enrollment.is_user_channel and enrollment.id not in enrollments.channels(db, device_id)
    if not is_new or known.state != "enrolled":
        raise _arrived(device_id)


def _arrived(device_id: str) -> Conflict:
    return Conflict(
        f"{device_id} has an enrollment here",
        code="moving.not_possible",
        why="what a device says itself counts more than what another server knows",
        fix="nothing has to be done, or forget the device first",
    )


def _may_come(db: Connection, device_id: str, signer: Signer) -> Awaited | None:
    """Return the awaited device if this certificate is nobody else's."""
    found = awaited.get(db, device_id)
    known = enrollments.known(db, device_id)
    if found is None or known is None or known.state != "enrolled" or known.blocked:
        return None
    if known.certificate_sha256 is not None or certificates.by_sha256(db, signer.sha256):
        return None
    if awaited.is_expected_of_another(db, device_id, signer.sha256):
        return None
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.value.ca


def _is_issued_by(certificate: x509.Certificate, authorities: list[bytes]) -> bool:
    """Tell whether one of the authorities signed it: by its key, not by its name alone."""
    if _is_authority(certificate):
        return False
    for der in authorities:
        try:
            certificate.verify_directly_issued_by(x509.load_der_x509_certificate(der))
        except (InvalidSignature, TypeError, ValueError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _issued(signer: Signer, now: int) -> Issued:
    certificate = signer.certificate
    begins = int(certificate.not_valid_before_utc.timestamp() * 1000)
    return Issued(
        sha256=signer.sha256,
        # Another authority's number may be one of ours as well.
        serial=f"{certificate.serial_number:x}-{signer.sha256.hex()[:8]}",
        der=certificate.public_bytes(Encoding.DER),
        public_key_sha256=public_key_sha256(signer.public_key),
        link_code=None,
        issued_for=None,
        enrollment_id=None,
        issued_at=begins,
        not_after=signer.not_after * 1000,
        revoked_at=None,
        adopted=True,
    )


def _authority(certificate: x509.Certificate, trusted_at: datetime | None) -> Authority:
    return Authority(
        subject=certificate.subject.rfc4514_string(),
        fingerprint_sha256=fingerprint(certificate).hex(),
        not_after=certificate.not_valid_after_utc,
        trusted_at=trusted_at,
    )
