"""Check-in: acts on what a device says of its enrollment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import TypeAlias, assert_never

from appliance import logs
from appliance.errors import (
    EnrollmentBlocked,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    UserChannelRefused,
)
from appliance.mdm import device
from appliance.mdm.checkin import (
    Authenticate,
    CheckinMessage,
    CheckOut,
    DeclarativeManagement,
    GetBootstrapToken,
    GetToken,
    ReturnToService,
    SetBootstrapToken,
    TokenUpdate,
    UserAuthenticate,
)
from appliance.mdm.declarations import answer_without_declarations
from appliance.mdm.device import DeviceFacts
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.services.channels import end_channels, end_renewals, keep, take_token
from appliance.services.clock import HOUR, now_ms
from appliance.services.identity import check_dates
from appliance.services.push_certificates import PushCertificates
from appliance.services.vault import Vault
from appliance.services.webhooks import WebhookService
from appliance.store import (
    certificates,
    commands,
    devices,
    enrollments,
    escrow,
    events,
    exchanges,
    links,
)
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database
from appliance.store.exchanges import Exchange
from appliance.wire import plist
from appliance.wire.cms import Signer

logger = logging.getLogger(__name__)

# Tells the receivers of webhooks of the message at hand, in the transaction that acts on it.
Tell: TypeAlias = Callable[..., None]


class CheckinService:
    """Acts on one check-in message at a time; every answer follows its commit."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        push_certificates: PushCertificates,
        wake: Callable[[], None],
        webhooks: WebhookService,
    ) -> None:
        self._database = database
        self._vault = vault
        self._push_certificates = push_certificates
        self._wake = wake
        self._webhooks = webhooks

    async def handle(self, signer: Signer, message: CheckinMessage, raw: bytes) -> bytes:
        """Act on one message, `raw` as it came; return the reply body, empty for most messages.

        Raises:
            NotAuthorized: the certificate may not speak for this enrollment.
            EnrollmentBlocked: it may, and an administrator blocked the enrollment.
            UserChannelRefused: network users of a Mac are not managed.
            NotFound: a declaration that does not exist.
            InvalidRequest: a token of a service that this server knows nothing of.
        """
        now = now_ms()
        check_dates(signer, now)
        reply = await self._act(signer, message, now, partial(self._tell, message, raw, now))
        logger.info(
            "check-in",
            extra={
                logs.MESSAGE_TYPE: type(message).__name__,
                logs.ENROLLMENT_ID: message.enrollment.id,
            },
        )
        return reply

    async def _act(self, signer: Signer, message: CheckinMessage, now: int, tell: Tell) -> bytes:
        match message:
            case Authenticate():
                await self._authenticate(signer, message, now, tell)
                return b""
            case TokenUpdate():
                await self._token_update(signer, message, now, tell)
                return b""
            case CheckOut():
                await self._check_out(signer, message, now, tell)
                return b""
            case UserAuthenticate():  # of a user who may have no channel yet
                await self._authorize(signer, message, tell, new_channel=True)
                raise UserChannelRefused("network users are not managed")
            case SetBootstrapToken():
                await self._set_bootstrap_token(signer, message, now, tell)
                return b""
            case GetBootstrapToken():
                return await self._get_bootstrap_token(signer, message, tell)
            case DeclarativeManagement():
                return await self._declarations(signer, message, tell)
            case GetToken():
                await self._authorize(signer, message, tell)
                raise InvalidRequest("no token of this service is to be had")
            case ReturnToService():  # that is for EraseDevice to say
                await self._authorize(signer, message, tell)
                return plist.dumps({"ReturnToService": {"Enabled": False}})
            case _:
                assert_never(message)

    async def _authenticate(
        self, signer: Signer, message: Authenticate, now: int, tell: Tell
    ) -> None:
        await self._check_topic(message.topic)
        device_id = message.enrollment.id

        def unit(db: Connection) -> str | None:
            certificate = certificates.by_sha256(db, signer.sha256)
            if certificate is None:
                return "the certificate was not issued by this server"
            exchange = exchanges.of_certificate(db, signer.sha256)
            known = enrollments.known(db, device_id)
            verdict = _exchanged_for_another(exchange, certificate, message) or _judge(
                db, device_id, certificate, known, now
            )
            if isinstance(verdict, str):
                # The refusal itself may be kept, so it is returned and not raised.
                return verdict
            certificates.bind(db, signer.sha256, device_id)
            tell(db)
            if verdict is _Admission.RENEWAL:
                # Until its TokenUpdate the device may go back to the identity that it had.
                end_renewals(db, device_id, now, but=signer.sha256)
                return None
            if known is not None:
                end_channels(db, device_id, now)
            enrollments.begin(
                db, message.enrollment, sha256=signer.sha256, topic=message.topic, now=now
            )
            devices.put_facts(db, device_id, _facts(message, exchange))
            if known is None or not known.is_current(signer.sha256) or _is_news(db, device_id, now):
                link = _reference(certificate.link_code)
                events.add(db, "device.authenticated", now, enrollment_id=device_id, link=link)
            return None

        refusal = await self._database.write(unit)
        if refusal == _BLOCKED:
            raise EnrollmentBlocked("an administrator blocked this enrollment")
        if refusal is not None:
            raise NotAuthorized(refusal)

    async def _token_update(
        self, signer: Signer, message: TokenUpdate, now: int, tell: Tell
    ) -> None:
        await self._check_topic(message.topic)
        enrollment = message.enrollment

        def unit(db: Connection) -> None:
            enrollments.authorize(db, enrollment, signer.sha256, new_channel=True)
            if not enrollment.is_user_channel:
                _end_renewal(db, enrollment.id, signer.sha256, now)
            tally = take_token(db, self._vault, message, now)
            if tally == 1 and not _is_told(db, enrollment):
                link = _reference(certificates.link_code_of(db, signer.sha256))
                events.add(db, "device.enrolled", now, enrollment_id=enrollment.id, link=link)
            tell(db, tally)

        await self._database.write(unit)
        self._wake()

    async def _check_out(self, signer: Signer, message: CheckOut, now: int, tell: Tell) -> None:
        device_id = message.enrollment.id

        def unit(db: Connection) -> None:
            enrollments.authorize_device(db, message.enrollment, signer.sha256)
            end_channels(db, device_id, now)
            enrollments.end(db, device_id, state="checked_out", now=now)
            events.add(db, "device.checked_out", now, enrollment_id=device_id)
            tell(db)

        await self._database.write(unit)

    async def _set_bootstrap_token(
        self, signer: Signer, message: SetBootstrapToken, now: int, tell: Tell
    ) -> None:
        device_id = message.enrollment.id

        def unit(db: Connection) -> None:
            enrollments.authorize_device(db, message.enrollment, signer.sha256)
            tell(db)
            if message.bootstrap_token is None:
                escrow.archive(db, device_id, "bootstrap_token", now)
                return
            keep(db, self._vault, device_id, "bootstrap_token", message.bootstrap_token, now)

        await self._database.write(unit)

    async def _get_bootstrap_token(
        self, signer: Signer, message: GetBootstrapToken, tell: Tell
    ) -> bytes:
        device_id = message.enrollment.id

        def unit(db: Connection) -> bytes | None:
            enrollments.authorize_device(db, message.enrollment, signer.sha256)
            tell(db)
            return escrow.current(db, device_id, "bootstrap_token")

        sealed = await self._database.write(unit)
        token = b"" if sealed is None else self._vault.open("bootstrap_token", device_id, sealed)
        return plist.dumps({"BootstrapToken": token})

    async def _declarations(
        self, signer: Signer, message: DeclarativeManagement, tell: Tell
    ) -> bytes:
        await self._authorize(signer, message, tell)
        issued = await self._database.read(lambda db: certificates.by_sha256(db, signer.sha256))
        # One that came from another server may hold declarations of that one: told that there are
        # none, it would drop them, and perhaps its network with them.
        if issued is not None and issued.adopted and message.endpoint != "status":
            raise NotFound("declaration", message.endpoint)
        return answer_without_declarations(message.endpoint)

    async def _authorize(
        self, signer: Signer, message: CheckinMessage, tell: Tell, *, new_channel: bool = False
    ) -> None:
        enrollment = message.enrollment
        allowed = new_channel or not enrollment.is_user_channel

        def unit(db: Connection) -> None:
            enrollments.authorize(db, enrollment, signer.sha256, new_channel=allowed)
            tell(db)

        if self._webhooks.enabled:
            await self._database.write(unit)
        else:
            await self._database.read(unit)

    def _tell(
        self,
        message: CheckinMessage,
        raw: bytes,
        now: int,
        db: Connection,
        tally: int | None = None,
    ) -> None:
        if self._webhooks.enabled:
            self._webhooks.tell(db, message, raw, now, tally=tally)

    async def _check_topic(self, topic: str) -> None:
        expected = await self._push_certificates.topic()
        if topic != expected:
            raise NotAuthorized("the topic is not the one of our push certificate")


_BLOCKED = "blocked"
_BLOCKED_FOR_OTHERS = "an administrator blocked the device"


def _reference(link_code: str | None) -> str | None:
    """Return what stands for the link by which the device got its identity."""
    return None if link_code is None else links.reference(link_code)


def _end_renewal(db: Connection, device_id: str, sha256: bytes, now: int) -> None:
    """Let an identity that the device has now proven to have take the place of the former one."""
    if enrollments.rebind(db, device_id, sha256, now):
        end_renewals(db, device_id, now)
        events.add(db, "device.identity_renewed", now, enrollment_id=device_id)


def _is_news(db: Connection, device_id: str, now: int) -> bool:
    """Tell whether to note that a device begins again with the identity it has.

    Once an hour: it can do so for ever, and what is noted is kept for long.
    """
    return not events.happened(
        db, "device.authenticated", enrollment_id=device_id, since=now - HOUR
    )


def _is_told(db: Connection, enrollment: EnrollmentID) -> bool:
    """Tell whether the channel has been noted as enrolled since its device began last."""
    begun = events.last(db, "device.authenticated", enrollment.device_id)
    enrolled = events.last(db, "device.enrolled", enrollment.id)
    return begun is not None and enrolled is not None and begun.id < enrolled.id


class _Admission(Enum):
    ENROLLMENT = auto()  # begins anew: queue and secrets of an earlier one are gone
    RENEWAL = auto()  # the same enrollment with a new identity: everything stays


def _facts(message: Authenticate, exchange: Exchange | None) -> DeviceFacts:
    facts = device.from_authenticate(message)
    return facts if exchange is None else replace(facts, is_identity_proven=exchange.proven)


def _exchanged_for_another(
    exchange: Exchange | None, certificate: Issued, message: Authenticate
) -> str | None:
    """Say in words why a certificate of an exchange may not begin this enrollment."""
    if exchange is None:
        return None
    if exchange.identity_sha256 == certificate.sha256:
        return "the certificate is for an exchange over the air, and enrolls nothing"
    is_device = message.enrollment.type is EnrollmentType.DEVICE
    if not is_device or not exchange.is_with(message.enrollment.id, message.serial_number):
        return "the certificate was issued for the device that proved its identity"
    return None


def _judge(
    db: Connection,
    device_id: str,
    certificate: Issued,
    known: enrollments.Known | None,
    now: int,
) -> _Admission | str:
    """Say how this certificate may begin this enrollment, or in words why it may not.

    A known device keeps its identity: a valid certificate alone does not take it over, or
    whoever holds an enrollment link could have the commands of any device. One that we told to
    erase itself has none left to keep.
    """
    if certificate.revoked_at is not None:
        return "the certificate is revoked"
    if certificate.enrollment_id not in (None, device_id):
        return "the certificate belongs to another enrollment"
    if certificate.issued_for not in (None, device_id):
        return "the certificate was issued for another enrollment"
    if known is not None and known.blocked:
        # Only the device itself may be told to drop its management.
        return _BLOCKED if known.is_current(certificate.sha256) else _BLOCKED_FOR_OTHERS
    is_bound = certificate.enrollment_id is not None
    if is_bound and not (
        (known is not None and known.is_current(certificate.sha256))
        or enrollments.is_heir(db, device_id, certificate.sha256)
    ):
        return "the certificate belongs to an enrollment that has ended"
    if known is None:
        return _Admission.ENROLLMENT
    return _judge_known(db, known, certificate, now)


def _judge_known(
    db: Connection, known: enrollments.Known, certificate: Issued, now: int
) -> _Admission | str:
    if not known.is_known() or known.certificate_revoked:
        return _Admission.ENROLLMENT
    if certificate.issued_for is not None:
        return _Admission.RENEWAL
    if known.is_current(certificate.sha256) or (known.reenroll_until or 0) > now:
        return _Admission.ENROLLMENT
    if commands.was_told_to_erase(db, known.id, since=known.authenticated_at or 0):
        # Its identity went with all else; the answer may never have arrived.
        return _Admission.ENROLLMENT
    _note_attempt(db, known.id, certificate.sha256, now)
    return "the device is enrolled with another certificate"


def _note_attempt(db: Connection, device_id: str, sha256: bytes, now: int) -> None:
    """Tell the administrator, but once an hour: whoever holds a certificate can repeat it."""
    kind = "device.authenticate_refused"
    if not events.happened(db, kind, enrollment_id=device_id, since=now - HOUR):
        data = {"certificate_sha256": sha256.hex()}
        events.add(db, kind, now, enrollment_id=device_id, data=data)
