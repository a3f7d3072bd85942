"""Push: wakes the channels that have a backlog, and knows when to give up."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

from appliance import apns, logs
from appliance.config import PushConfig
from appliance.errors import Conflict
from appliance.services.clock import HOUR, MINUTE, now_ms
from appliance.services.live import LiveEvents
from appliance.services.pace import Pace
from appliance.services.push_certificates import PushCertificates, PushCertificateStatus
from appliance.store import devices, pushes
from appliance.store.database import Connection, Database
from appliance.store.pushes import DuePush
from appliance.wire import certificates

logger = logging.getLogger(__name__)

_BATCH = 500
_AT_ONCE = 100
_IDLE_SECONDS = 60.0
_BLOCKED_SECONDS = 2.0
_FIRST_RETRY_MS = 2_000
_LONGEST_RETRY_MS = 40 * MINUTE  # with its spread, an hour
# A device that was told and did not come is told again, ever more rarely; also what wakes one
# that answered NotNow.
_REMINDERS_MS = (10 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR)
_CERTIFICATE_RETRY_MS = 15 * MINUTE  # of a refused one, unless another is imported


@dataclass(frozen=True, slots=True, kw_only=True)
class PushStatus:
    """The push certificate, and the last thing that Apple had against it."""

    certificate: PushCertificateStatus
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What became of a push that somebody asked for."""

    enrollment_id: str
    apns_id: str | None
    error: str | None


class PushService:
    """Sends what the store says is due; the store is the only queue."""

    def __init__(
        self,
        database: Database,
        push_certificates: PushCertificates,
        config: PushConfig,
        run_directory: Path,
        live: LiveEvents,
    ) -> None:
        self._database = database
        self._live = live
        self._certificates = push_certificates
        self._config = config
        if config.ca_file:
            apns.trusting(config.ca_file)  # says now, not at the first push, that it is no use
        self._run_directory = run_directory
        self._sender: apns.PushSender | None = None
        self._sender_lock = asyncio.Lock()
        self._last_error: str | None = None
        self._pace = Pace(config.per_second)
        self._refused_until = 0.0  # monotonic
        self._has_begun = False
        self.work = asyncio.Event()

    def wake(self) -> None:
        """Say that a push may be due now."""
        self.work.set()

    async def status(self) -> PushStatus:
        """Return the state of the push certificate."""
        return PushStatus(
            certificate=await self._certificates.status(), last_error=self._last_error
        )

    async def import_pem(
        self,
        certificate: bytes,
        key: bytes,
        *,
        password: str | None = None,
        replace_topic: str | None = None,
        account: str | None = None,
    ) -> PushStatus:
        """Take a push certificate and its key in PEM; see `PushCertificates.store`."""
        pair = certificates.load_pair(certificate + b"\n" + key, password)
        return await self._import(pair, replace_topic, account)

    async def import_pkcs12(
        self,
        content: bytes,
        *,
        password: str | None = None,
        replace_topic: str | None = None,
        account: str | None = None,
    ) -> PushStatus:
        """Take a push certificate as PKCS#12; see `PushCertificates.store`."""
        pair = certificates.load_pkcs12(content, password)
        return await self._import(pair, replace_topic, account)

    async def test(self) -> str:
        """Connect to the push server and ask it to push to nobody; return what it says.

        Raises:
            Conflict: there is no push certificate, or it is refused.
        """
        sender = await self._ready()
        topic = await self._certificates.topic() or ""
        target = apns.PushTarget(token=bytes(32), push_magic="test", topic=topic)
        outcome = await sender.send(target, expires_in_seconds=0)
        match outcome:
            case apns.TokenRefused() | apns.TokenGone() | apns.Accepted():
                return "the push server accepts the certificate"
            case apns.CertificateRefused(reason=reason) | apns.Retry(reason=reason):
                problem = reason
            case apns.Refused(status=status, reason=reason):
                problem = f"{status} {reason}"
            case _:
                assert_never(outcome)
        raise Conflict(f"the push server says: {problem}", code="push.failed")

    async def request(self, name: str) -> PushResult:
        """Push to one channel at once.

        Raises:
            NotFound: there is no such channel.
        """
        now = now_ms()

        def unit(db: Connection) -> str:
            enrollment_id = devices.named(db, name)
            pushes.request(db, enrollment_id, now)
            return enrollment_id

        enrollment_id = await self._database.write(unit)
        found = await self._database.read(lambda db: pushes.one(db, enrollment_id, now))
        if found is None:
            return PushResult(
                enrollment_id=enrollment_id, apns_id=None,
                error=f"push data missing for {enrollment_id}",
            )  # fmt: skip
        try:
            sender = await self._ready()
        except Conflict as error:
            return PushResult(enrollment_id=enrollment_id, apns_id=None, error=error.problem)
        outcome = await self._push(sender, found)
        if isinstance(outcome, apns.Accepted):
            return PushResult(enrollment_id=enrollment_id, apns_id=outcome.apns_id, error=None)
        return PushResult(enrollment_id=enrollment_id, apns_id=None, error=_describe(outcome))

    async def wake_backlog(self) -> float:
        """Push to channels that are due; return the seconds until the next ones are.

        The fleet is woken at `push.per_second` at most, so that it does not come back all at once.
        """
        if (refused := self._refused_until - time.monotonic()) > 0:
            return refused  # or each command would connect anew, to be refused
        if self._database.is_blocked:  # what becomes of a push could not be stored
            return _BLOCKED_SECONDS
        if not self._has_begun:  # perhaps with another `push.host`, or on another network
            await self._try_again()
            self._has_begun = True
        room = self._pace.room(time.monotonic(), time.thread_time())
        if not room:
            return self._pace.wait_seconds
        limit = min(room, _BATCH)
        due = await self._database.read(partial(pushes.due, now=now_ms(), limit=limit))
        if not due:
            following = await self._database.read(pushes.next_due)
            wait = _IDLE_SECONDS if following is None else (following - now_ms()) / 1000
            return min(max(wait, 0.05), _IDLE_SECONDS)
        try:
            sender = await self._ready()
        except Conflict:  # no certificate yet; importing one wakes this job
            return _IDLE_SECONDS
        self._pace.spend(len(due))
        slots = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for push in due:
                group.create_task(self._limited(slots, sender, push))
        return 0.0

    async def close(self) -> None:
        """Close the connections to the push server."""
        async with self._sender_lock:  # one that is being made is of the certificate before
            sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()

    async def _import(
        self, pair: certificates.KeyPair, replace_topic: str | None, account: str | None
    ) -> PushStatus:
        await self._certificates.store(pair, replace_topic=replace_topic, account=account)
        await self.close()  # the next push uses the new certificate; no restart
        self._last_error, self._refused_until = None, 0.0
        await self._try_again()
        self.wake()
        return await self.status()

    async def _try_again(self) -> None:
        now = now_ms()
        await self._database.write(lambda db: pushes.retry_now(db, now))

    async def _ready(self) -> apns.PushSender:
        async with self._sender_lock:
            if self._sender is not None:
                return self._sender
            pair = await self._certificates.pair()
            if pair is None:
                raise Conflict(
                    "there is no push certificate",
                    code="push_certificate.missing",
                    fix="import one with `appliance push-cert import`",
                )
            context = await asyncio.to_thread(
                apns.push_ssl_context,
                pair.certificate,
                pair.key,
                self._config.ca_file or None,
                str(self._run_directory),
            )
            self._sender = apns.PushSender(
                host=self._config.host,
                port=self._config.port,
                ssl_context=context,
                timeout_seconds=self._config.timeout_seconds,
            )
            return self._sender

    async def _limited(
        self, slots: asyncio.Semaphore, sender: apns.PushSender, push: DuePush
    ) -> None:
        async with slots:
            if push.newest_command is None:
                now = now_ms()
                await self._database.write(lambda db: pushes.drop(db, push.enrollment_id, now))
                return
            await self._push(sender, push)

    async def _push(self, sender: apns.PushSender, push: DuePush) -> apns.Outcome:
        if push.token is None or push.push_magic is None or push.topic is None:
            outcome: apns.Outcome = apns.TokenRefused(reason="no push token yet")
        else:
            target = apns.PushTarget(token=push.token, push_magic=push.push_magic, topic=push.topic)
            outcome = await sender.send(
                target, expires_in_seconds=self._config.expires_hours * 3600
            )
            if self._sender is not sender:  # closed by us meanwhile
                return await self._record_late(push, outcome)
        self._judge(outcome)
        await self._record(push, outcome)
        if isinstance(outcome, apns.CertificateRefused) and self._sender is sender:
            await self.close()
        return outcome

    def _judge(self, outcome: apns.Outcome) -> None:
        """Note what an outcome says of the certificate."""
        if isinstance(outcome, apns.CertificateRefused):
            self._last_error = f"the push certificate is refused: {outcome.reason}"
            self._refused_until = time.monotonic() + _CERTIFICATE_RETRY_MS / 1000
        elif isinstance(outcome, apns.Accepted):
            self._last_error = None
            if self._refused_until:
                self._refused_until = 0.0
                self.wake()

    async def _record_late(self, push: DuePush, outcome: apns.Outcome) -> apns.Outcome:
        """Store what counts though its certificate is not used any more; else it stays due."""
        if not isinstance(outcome, apns.Retry | apns.CertificateRefused):
            await self._record(push, outcome)
        return outcome

    async def _record(self, push: DuePush, outcome: apns.Outcome) -> None:
        """Store what becomes of the push (Apple, "Handling notification responses from APNs")."""
        now = now_ms()
        enrollment_id = push.enrollment_id
        if not isinstance(outcome, apns.Accepted):
            logger.warning(
                "push failed",
                extra={logs.ENROLLMENT_ID: enrollment_id, logs.REASON: _describe(outcome)},
            )

        def unit(db: Connection) -> list[tuple[str, str]]:
            retry_at = partial(_retry_at, db, enrollment_id, outcome, now)
            match outcome:
                case apns.Accepted(apns_id=apns_id):
                    remind_at = now + _REMINDERS_MS[min(push.reminders, len(_REMINDERS_MS) - 1)]
                    return pushes.accepted(db, push, apns_id=apns_id, now=now, remind_at=remind_at)
                case apns.TokenGone() | apns.TokenRefused() | apns.Refused():
                    pushes.refused(db, push, outcome=_describe(outcome), now=now)
                case apns.CertificateRefused():
                    retry_at(now + _CERTIFICATE_RETRY_MS)
                case apns.Retry(after_seconds=after):
                    retry_at(now + _retry_ms(push.attempts, after))
                case _:
                    assert_never(outcome)
            return []

        for command_uuid, request_type in await self._database.write(unit):
            self._live.command("pushed", enrollment_id, command_uuid, request_type)


def _retry_at(
    db: Connection, enrollment_id: str, outcome: apns.Outcome, now: int, due_at: int
) -> None:
    pushes.failed(db, enrollment_id, outcome=_describe(outcome), due_at=due_at, now=now)


def _retry_ms(attempts: int, after_seconds: float | None) -> int:
    """Double the wait each time, spread by half, so that a fleet does not retry in step."""
    wait = min(_FIRST_RETRY_MS << min(attempts, 20), _LONGEST_RETRY_MS)
    if after_seconds is not None:
        wait = max(wait, int(after_seconds * 1000))
    return int(wait * random.uniform(1.0, 1.5))  # noqa: S311 - jitter, not a secret


def _describe(outcome: apns.Outcome) -> str:
    match outcome:
        case apns.Accepted():
            return "accepted"
        case apns.Refused(status=status, reason=reason):
            return f"refused: {status} {reason}"
        case apns.Retry(reason=reason):
            return f"retry: {reason}"
        case apns.CertificateRefused(reason=reason):
            return f"certificate refused: {reason}"
        case apns.TokenGone(reason=reason) | apns.TokenRefused(reason=reason):
            return f"token refused: {reason}"
        case _:
            assert_never(outcome)
