"""Deliveries: what waits for a receiver is sent, in the order of each device, until it is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import math
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from appliance import logs
from appliance.config.checks import duration_ms
from appliance.config.webhook import WebhookConfig
from appliance.outbound import Answered, Outcome, Poster
from appliance.services.clock import DAY, MINUTE, now_ms
from appliance.services.receivers import Receiver
from appliance.store import deliveries, events, webhooks
from appliance.store.database import Connection, Database
from appliance.store.deliveries import DueDelivery, Failure
from appliance.store.webhooks import WebhookState

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_IDLE_SECONDS = 60.0
_MOST_SPREAD = 1.5
_LONGEST_PAUSE_MS = 10 * MINUTE  # of a receiver; a single event may wait longer
_LOG_KEEPS = 1_000
_LOG_KEEPS_BYTES = 32 << 20
_LOG_KEEPS_MS = 7 * DAY
_TIDY_SECONDS = 60.0
_GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one attempt; `problem` is None if the receiver took it."""

    answer: int | None  # HTTP status
    problem: str | None
    seconds: float

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it."""
        return self.problem is None

    @property
    def is_the_receivers(self) -> bool:
        """Whether the receiver is at fault, and not this one event."""
        return self.answer is None or self.answer >= 500 or self.answer in (408, 429)


class DeliveryService:
    """Empties the queue of one receiver; others do not notice how it does."""

    def __init__(
        self, database: Database, receiver: Receiver, config: WebhookConfig, tls: ssl.SSLContext
    ) -> None:
        self.receiver = receiver
        self.work = asyncio.Event()
        self._database = database
        self._retries_ms = [duration_ms(wait) for wait in config.retries]
        self._disable_after_ms = duration_ms(config.disable_after)
        self._poster: Poster | None = None
        self._make_poster = partial(
            Poster, timeout_seconds=config.timeout_seconds, allow_private=config.allow_private,
            tls=tls, at_once=_AT_ONCE + 1,
        )  # fmt: skip
        self._tidied_at = -math.inf  # monotonic
        self._dropped: int | None = None  # by the last look; None: before the first

    async def run(self) -> float:
        """Send what is due, one event of each device; return the seconds until more will be."""
        await self._tidy()
        now = now_ms()
        state = await self._database.read(lambda db: webhooks.state(db, self.receiver.id))
        if state is None or state.disabled_at is not None:
            return _IDLE_SECONDS
        if pause := _pause_ms(state, now):
            return pause / 1000
        # To one that fails a single event at a time: it is asked whether it is well again.
        limit = 1 if state.failures else _AT_ONCE
        due = await self._database.read(
            lambda db: deliveries.due(db, self.receiver.id, now, limit=limit)
        )
        if not due:
            return await self._seconds_until_due(now)
        async with asyncio.TaskGroup() as group:
            for delivery in due:
                group.create_task(self._deliver(delivery))
        return 0.0

    async def send(self, event_id: str, body: bytes) -> Sent:
        """Send one event, once, and record nothing."""
        if self._poster is None:
            self._poster = self._make_poster()
        began = time.monotonic()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        keys = self.receiver.keys(now_ms())
        headers |= signature_headers(keys, event_id, int(time.time()), body)
        outcome = await self._poster.post(self.receiver.url, body, headers)
        return _sent(outcome, time.monotonic() - began)

    async def close(self) -> None:
        """Close the connections."""
        if self._poster is not None:
            await self._poster.close()

    async def _deliver(self, delivery: DueDelivery) -> None:
        sent = await self.send(delivery.event_id, delivery.body)
        now = now_ms()
        news = await self._database.write(lambda db: self._record(db, delivery, sent, now))
        if news is not None:
            extra = {logs.WEBHOOK: self.receiver.id, logs.REASON: sent.problem}
            logger.warning(news, extra=extra)

    def _record(self, db: Connection, delivery: DueDelivery, sent: Sent, now: int) -> str | None:
        """Store what became of an attempt; returns what is new of the receiver, in words."""
        id_ = self.receiver.id
        before = webhooks.state(db, id_)
        if before is None:
            return None
        if sent.problem is None:
            webhooks.took(db, id_, delivery.id, answer=sent.answer, now=now)
            return None
        if sent.answer == _GONE:
            return self._disable(db, sent, before, now)
        wait = self._retries_ms[delivery.attempts : delivery.attempts + 1]
        failure = Failure(answer=sent.answer, problem=sent.problem, at=now)
        if wait:
            webhooks.put_off(db, id_, delivery.id, failure, due_at=now + _spread(wait[0]))
        else:
            webhooks.gave_up(db, id_, delivery.id, failure)
        return self._judge(db, sent, before, now)

    def _judge(self, db: Connection, sent: Sent, before: WebhookState, now: int) -> str | None:
        """Decide what a failure means for the receiver, which did as `before` until then."""
        since = before.failing_since
        if since is not None and self._was_away(before, now):
            webhooks.failing_anew(db, self.receiver.id, now)
            since = None
        if since is not None and now - since.timestamp() * 1000 > self._disable_after_ms:
            return self._disable(db, sent, before, now)
        # A pause is begun by the first of those that were under way at the same time.
        if sent.is_the_receivers and not _pause_ms(before, now):
            waits = self._retries_ms or [_LONGEST_PAUSE_MS]
            wait = min(waits[min(before.failures, len(waits) - 1)], _LONGEST_PAUSE_MS)
            webhooks.fell_ill(db, self.receiver.id, retry_at=now + _spread(wait))
        return "webhook fails" if since is None else None

    def _was_away(self, before: WebhookState, now: int) -> bool:
        """Tell whether nothing was tried for longer than any wait: then that was not its failure.

        The machine was off or asleep, and comes up before the receiver's; or the clock leapt.
        """
        longest = max([*self._retries_ms, _LONGEST_PAUSE_MS]) * _MOST_SPREAD
        return before.retry_at is not None and now - before.retry_at.timestamp() * 1000 > longest

    def _disable(self, db: Connection, sent: Sent, before: WebhookState, now: int) -> str | None:
        if before.disabled_at is not None:  # by another that was under way at the same time
            return None
        problem = sent.problem or ""
        webhooks.disable(db, self.receiver.id, now, problem=problem)
        data = {"id": self.receiver.id, "problem": problem}
        events.add(db, "webhook.disabled", now, data=data)
        return "webhook disabled"

    async def _seconds_until_due(self, now: int) -> float:
        due_at = await self._database.read(lambda db: deliveries.next_due(db, self.receiver.id))
        if due_at is None:
            return _IDLE_SECONDS
        return min(max(due_at - now, 0) / 1000, _IDLE_SECONDS)

    async def _tidy(self) -> None:
        """Once a minute: forget what is over, and say in the log what was dropped."""
        if time.monotonic() - self._tidied_at < _TIDY_SECONDS:
            return
        self._tidied_at = time.monotonic()
        now = now_ms()
        # No wait is longer, unless a wrong clock named the time.
        latest = now + 2 * max(self._retries_ms, default=0)

        def unit(db: Connection) -> WebhookState | None:
            deliveries.bring_forward(db, self.receiver.id, latest=latest)
            return webhooks.state(db, self.receiver.id)

        state = await self._database.write(unit)
        await self._prune(before=now - _LOG_KEEPS_MS)
        dropped = 0 if state is None else state.dropped
        if self._dropped is not None and dropped > self._dropped:
            extra = {logs.WEBHOOK: self.receiver.id, logs.COUNT: dropped - self._dropped}
            logger.warning("webhook events dropped", extra=extra)
        self._dropped = dropped

    async def _prune(self, *, before: int) -> None:
        """Keep the log short: in pieces, for a long one would hold up the writer."""
        id_ = self.receiver.id
        until = await self._database.read(
            partial(deliveries.beyond, webhook_id=id_, keep=_LOG_KEEPS, keep_bytes=_LOG_KEEPS_BYTES)
        )
        prune = partial(deliveries.prune, webhook_id=id_, until=until, before=before)
        while await self._database.write(prune):
            pass


def signature_headers(keys: Sequence[bytes], event_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers that name the event and, with a key, prove it.

    Args:
        keys: the newest first. Standard Webhooks has a signature of each; NanoMDM's has one.

    Two signatures, as receivers know the one or the other: that of NanoMDM over the body alone,
    and that of Standard Webhooks over id, time in seconds and body, which cannot be replayed.

    Source: NanoMDM, `-webhook-hmac-key`; standardwebhooks.com, "Signature scheme".
    """
    headers = {"webhook-id": event_id, "webhook-timestamp": str(at)}
    if not keys:
        return headers
    signed = f"{event_id}.{at}.".encode() + body
    return {
        **headers,
        "webhook-signature": " ".join(f"v1,{_hmac(key, signed)}" for key in keys),
        "X-Hmac-Signature": _hmac(keys[0], body),
    }


def _hmac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")


def _sent(outcome: Outcome, seconds: float) -> Sent:
    if not isinstance(outcome, Answered):
        return Sent(answer=None, problem=outcome.reason, seconds=seconds)
    taken = 200 <= outcome.status < 300
    problem = None if taken else f"it answered {outcome.status}"
    return Sent(answer=outcome.status, problem=problem, seconds=seconds)


def _pause_ms(state: WebhookState, now: int) -> int:
    """Return how long a receiver that fails is left alone; a wrong clock may have named the end."""
    if state.retry_at is None:
        return 0
    left = int(state.retry_at.timestamp() * 1000) - now
    return left if 0 < left <= _LONGEST_PAUSE_MS * _MOST_SPREAD else 0


def _spread(wait_ms: int) -> int:
    """Lengthen a wait by up to half, so that what failed together is not tried together."""
    return int(wait_ms * random.uniform(1.0, _MOST_SPREAD))  # noqa: S311 - jitter, not a secret
