"""Renewals: each enrolled device is sent in time what makes it fetch a new identity.

A device never renews its identity by itself. It does when its enrollment profile is installed
anew, with a challenge that is good for this device alone (Apple, "Updating an MDM profile").
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance import logs
from appliance.config import ScepConfig
from appliance.errors import Conflict, NotFound
from appliance.services.clock import DAY, HOUR, is_behind, now_ms
from appliance.services.command_orders import CommandOrder, Queued
from appliance.services.commands import CommandService
from appliance.services.enrolling import EnrollingService
from appliance.services.housekeeping import has_leapt
from appliance.store import devices, enrollments, events, links, pushes, renewals
from appliance.store.database import Connection, Database, from_ms
from appliance.store.renewals import Identity

logger = logging.getLogger(__name__)

_WAITS_MS = 14 * DAY  # for a device that sleeps; then its challenge ends, and the command with it
_RETRY_MS = 7 * DAY  # after one that was refused, cancelled, or answered without a new identity
_ARRIVES_MS = HOUR  # a device may answer first and then come with its new identity
_AT_ONCE = 500  # a run: a fleet that enrolled in one day is renewed over several
_AGAIN_SECONDS = DAY / 1000
_LATER_SECONDS = HOUR / 1000  # something stands in the way that may go away


class RenewalState(StrEnum):
    """How far the renewal of a device's identity has come."""

    NOT_DUE = "not_due"
    DUE = "due"  # the next run sends the profile
    WAITING = "waiting"  # it is in the queue, or with the device
    FAILED = "failed"  # refused, cancelled, expired, or answered without a new identity
    OFF = "off"  # the configuration says so: only by order
    NOT_POSSIBLE = "not_possible"  # another server's identity, in a profile of its own
    ENDED = "ended"  # the device can connect no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The identity of a device: when it ends, and what is done about it."""

    days_left: int
    state: RenewalState
    queued_at: datetime | None
    command_id: str | None
    problem: str  # what the device said, or how the command ended


class RenewalService:
    """Queues the enrollment profile anew, for one device or for all whose identity ends soon."""

    def __init__(
        self,
        database: Database,
        config: ScepConfig,
        enrolling: EnrollingService,
        commands: CommandService,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._config = config
        self._enrolling = enrolling
        self._commands = commands
        self._wake = wake

    async def run(self) -> float:
        """Queue what is due, a bounded number; return the seconds until the next look."""
        now, before = now_ms(), self._config.renew_before_days * DAY
        if not before:
            return _AGAIN_SECONDS
        if is_behind(now) or await self._enrolling.topic() is None:
            return _LATER_SECONDS  # the page says so; no profile could be made

        def unit(db: Connection) -> list[str] | None:
            if has_leapt(db, now):
                return None
            return renewals.due(
                db, now=now, before=before, retry_before=now - _RETRY_MS, limit=_AT_ONCE
            )

        due = await self._database.read(unit)
        if due is None:
            return _LATER_SECONDS
        for enrollment_id in due:
            try:
                await self._queue(enrollment_id)
            except (Conflict, NotFound):  # it left meanwhile
                continue
        if due:
            logger.info("identities are renewed", extra={logs.COUNT: len(due)})
        return _AGAIN_SECONDS

    async def renew(self, name: str) -> Queued:
        """Queue the profile for one device, or wake it for the one that waits already.

        Raises:
            NotFound: there is no such device.
            Conflict: it is not enrolled, or its identity is another server's.
        """
        now = now_ms()

        def unit(db: Connection) -> tuple[str, str | None]:
            enrollment_id = devices.named(db, name)
            known = enrollments.known(db, enrollment_id)
            if known is None:
                raise NotFound("device", name)
            identity = renewals.identity(db, enrollment_id, now)
            if known.certificate_sha256 is None or (identity is not None and identity.adopted):
                raise _not_possible()
            waits = renewals.waiting(db, enrollment_id, now)
            if waits is not None:
                pushes.request(db, enrollment_id, now)
            return enrollment_id, waits

        enrollment_id, waits = await self._database.write(unit)
        if waits is None:
            return await self._queue(enrollment_id)
        self._wake()
        return Queued(id=waits, target=enrollment_id)

    async def of(self, name: str) -> Renewal | None:
        """Return how the renewal of a device stands, None if it has no identity.

        Raises:
            NotFound: there is no such device.
        """
        now = now_ms()
        return await self._database.read(lambda db: self.look(db, devices.named(db, name), now))

    def look(self, db: Connection, enrollment_id: str, now: int) -> Renewal | None:
        """As `of`, within a read of the caller's."""
        identity = renewals.identity(db, enrollment_id, now)
        return None if identity is None else self._renewal(identity, now)

    async def _queue(self, enrollment_id: str) -> Queued:
        now, command_uuid = now_ms(), str(uuid.uuid4())
        expires_at = now + _WAITS_MS
        payload, challenge = await self._enrolling.renewal_profile()

        def note(db: Connection) -> None:
            renewals.put(db, enrollment_id, command_uuid, now)
            links.add_challenge(
                db, challenge, link_code=None, issued_for=enrollment_id, now=now,
                expires_at=expires_at,
            )  # fmt: skip
            events.add(db, "device.renewal_sent", now, enrollment_id=enrollment_id)

        order = CommandOrder(
            targets=[enrollment_id],
            request_type="InstallProfile",
            parameters={"Payload": payload},
            uuid=command_uuid,
            expires_at=from_ms(expires_at),
            secret=True,  # its challenge lets the holder replace the device's identity
            may_danger=True,  # it replaces the management profile, by one of ours
            confirmation=False,
        )
        return (await self._commands.enqueue(order, also=note))[0]

    def _renewal(self, identity: Identity, now: int) -> Renewal:
        state = self._state(identity, now)
        return Renewal(
            days_left=(identity.not_after - now) // DAY,
            state=state,
            queued_at=from_ms(identity.queued_at),
            command_id=identity.command_id,
            problem=identity.problem if state is not RenewalState.FAILED else _problem(identity),
        )

    def _state(self, identity: Identity, now: int) -> RenewalState:
        left = identity.not_after - now
        before = self._config.renew_before_days * DAY
        if left <= 0:
            return RenewalState.ENDED
        if identity.status in ("queued", "sent", "not_now"):
            return RenewalState.WAITING
        if identity.status == "acknowledged" and now - (identity.finished_at or 0) < _ARRIVES_MS:
            return RenewalState.WAITING
        if identity.command_id is not None:
            return RenewalState.FAILED
        if identity.adopted:
            return RenewalState.NOT_POSSIBLE
        if not before:
            return RenewalState.OFF
        half_life = (identity.not_after - identity.issued_at) / 2
        return RenewalState.DUE if left <= min(before, half_life) else RenewalState.NOT_DUE


def _problem(identity: Identity) -> str:
    if identity.status == "acknowledged":
        return "the device took the profile and came with no new identity"
    return identity.problem or f"the command ended: {identity.status}"


def _not_possible() -> Conflict:
    return Conflict(
        "another server made this device's enrollment profile",
        code="renewal.not_possible",
        why="a device takes a new one of the same identifier and address only",
        fix="enroll it anew before its identity ends: `appliance device allow-reenrollment`",
    )
