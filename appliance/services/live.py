"""Live events: one reader of the store for all who listen, and replay for whoever comes back."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import msgspec

from appliance import logs
from appliance.errors import Busy, TooMany
from appliance.services.clock import now_ms
from appliance.store import events
from appliance.store.database import Database
from appliance.store.events import Event

logger = logging.getLogger(__name__)

_BATCH = 500
_LONGEST_REPLAY = 1_000
_LONGEST_QUEUE = 1_000  # messages for one client; about 200 KB
_GATHER_SECONDS = 0.02  # what is committed meanwhile is read at once
_RETRY_SECONDS = 1.0
# By these the rights of a caller end; `name` of their data says whose.
_RIGHTS_END = frozenset({
    "token.revoked", "user.password_changed", "user.removed", "user.session_ended",
    "user.signed_out",
})  # fmt: skip
_COMMAND_STAGES = {"command.queued": "queued", "command.finished": "finished"}
# A `command` event is a stage of a command; what an administrator did with one is for the record.
_GROUPS = {"command": "audit", "link": "enrollment", "push_certificate": "push"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event for a client; `data` is JSON, and `id` is None for what is not stored."""

    id: int | None
    group: str  # command, device, enrollment, certificate, push, audit, …
    device: str | None
    at: datetime
    data: bytes
    is_end: bool = False  # of a command: it follows all its other stages
    ends_rights_of: str | None = None  # perhaps not of all who have this name


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a client wants to hear; None: everything."""

    groups: frozenset[str] | None = None
    device: str | None = None

    def wants(self, message: Message) -> bool:
        """Tell whether the message is for this client."""
        return (self.groups is None or message.group in self.groups) and (
            self.device is None or message.device == self.device
        )


@dataclass(slots=True, kw_only=True)
class Subscription:
    """What waits for one client. One that reads too slowly is ended, and comes back by replay."""

    caller: str
    filter: Filter
    start: int  # the id behind which its messages begin
    was_reset: bool = False  # more was missed than is replayed
    # The caller may be let in no more; also true at first, for what happened in the meantime.
    is_doubted: bool = True
    _queue: deque[Message] = field(default_factory=deque)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def take(self, seconds: float) -> list[Message] | None:
        """Return what has come, if anything, after `seconds` or in doubt; None at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        if self._ended:
            return None
        self._ready.clear()
        taken = list(self._queue)
        self._queue.clear()
        return taken

    def put(self, message: Message) -> None:
        """Let the client have the message, if it wants it."""
        if message.ends_rights_of == self.caller:
            self.is_doubted = True
            self._ready.set()
        if not self.filter.wants(message):
            return
        if len(self._queue) >= _LONGEST_QUEUE:
            self.end()
            return
        self._queue.append(message)
        self._ready.set()

    def put_first(self, missed: list[Message]) -> None:
        """Let the client have what it missed before what has come since."""
        self._queue.extendleft(reversed(missed))
        if missed:
            self._ready.set()

    def end(self) -> None:
        """Let `take` return None from now on."""
        self._ended = True
        self._queue.clear()
        self._ready.set()


class LiveEvents:
    """Fans out what the store says has happened, and what is true for a moment only."""

    def __init__(self, database: Database, *, most_streams: int) -> None:
        self._database = database
        self._most_streams = most_streams
        self._subscriptions: list[Subscription] = []
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._unstored: list[Message] = []
        self._last = 0
        self._closed = False
        database.after_commit.append(self._committed)

    async def newest_id(self) -> int:
        """Return the id of the last event, 0 before the first."""
        return await self._database.read(events.newest_id)

    def command(self, stage: str, device: str, uuid: str, request_type: str) -> None:
        """Tell of a stage that is not stored: `pushed` or `connected`; call it after the commit."""
        if not self._subscriptions:
            return
        at = datetime.fromtimestamp(now_ms() / 1000, UTC)
        status = "sent" if stage == "connected" else "queued"
        data = _command_data(stage, device, uuid, request_type, status, at)
        self._unstored.append(Message(id=None, group="command", device=device, at=at, data=data))
        self._wake.set()

    @asynccontextmanager
    async def subscribe(
        self, caller: str, filter_: Filter, *, after: int | None
    ) -> AsyncIterator[Subscription]:
        """Listen, from the event that follows `after` on, or from now on if it is None.

        Raises:
            TooMany: the caller listens often enough already.
        """
        if sum(other.caller == caller for other in self._subscriptions) >= self._most_streams:
            raise TooMany(
                f"{caller} has {self._most_streams} event streams open", retry_after_seconds=30
            )
        async with self._starting:
            if self._reader is None:
                self._last = await self._database.read(events.newest_id)
                self._reader = asyncio.create_task(self._run())
        subscription = Subscription(caller=caller, filter=filter_, start=self._last)
        self._subscriptions.append(subscription)
        self._wake.set()
        try:
            if after is not None:
                await self._replay(subscription, after)
            if self._closed:
                subscription.end()
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            if not self._subscriptions and self._reader is not None:
                self._reader.cancel()
                self._reader = None
                self._unstored.clear()

    def close(self) -> None:
        """End every stream: the server is stopping."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()

    async def _replay(self, subscription: Subscription, after: int) -> None:
        wanted, until = subscription.filter, subscription.start
        found = await self._database.read(
            partial(
                events.between,
                after=after,
                until=until,
                enrollment_id=wanted.device,
                limit=_LONGEST_REPLAY + 1,
            )
        )
        # An id of the future is of a database that was restored from a backup since.
        subscription.was_reset = after > until or len(found) > _LONGEST_REPLAY
        found = found[-_LONGEST_REPLAY:]
        if not subscription.was_reset:
            subscription.start = after
        elif found:
            subscription.start = found[0].id - 1
        subscription.put_first(
            [message for message in map(_message, found) if wanted.wants(message)]
        )

    def _committed(self) -> None:
        if self._subscriptions:
            self._wake.set()

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._fan_out()
                await asyncio.sleep(_GATHER_SECONDS)
        except Exception:  # a fault of ours: the clients come back, and are served by replay
            logger.exception("live events failed")
            self._reader = None
            for subscription in self._subscriptions:
                subscription.end()

    async def _fan_out(self) -> None:
        unstored, self._unstored = self._unstored, []
        try:
            found = await self._database.read(partial(events.after, after=self._last, limit=_BATCH))
        except Busy as error:
            logger.warning("live events wait", extra={logs.REASON: error.problem})
            self._unstored = unstored + self._unstored
            self._wake.set()
            await asyncio.sleep(_RETRY_SECONDS)
            return
        if found:
            self._last = found[-1].id
        if len(found) == _BATCH:
            self._wake.set()
        for message in _merged([_message(event) for event in found], unstored):
            for subscription in self._subscriptions:
                subscription.put(message)


def _merged(stored: list[Message], unstored: list[Message]) -> list[Message]:
    """Return both in the order in which they happened; the stored ones keep theirs."""
    waiting = deque(unstored)
    merged = []
    for message in stored:
        while waiting and (
            waiting[0].at < message.at or (message.is_end and waiting[0].at == message.at)
        ):
            merged.append(waiting.popleft())
        merged.append(message)
    return [*merged, *waiting]


def _message(event: Event) -> Message:
    stage = _COMMAND_STAGES.get(event.kind)
    prefix = event.kind.partition(".")[0]
    group = _GROUPS.get(prefix, prefix) if stage is None else "command"
    data, device = event.data, event.enrollment_id
    if stage is not None and device is not None:
        text = _command_data(
            stage, device, data["id"], data["request_type"], data["status"], event.at
        )
    else:
        text = msgspec.json.encode({"kind": event.kind, "device": device, "at": event.at, **data})
    return Message(
        id=event.id, group=group, device=device, at=event.at, data=text,
        is_end=stage == "finished",
        ends_rights_of=data.get("name") if event.kind in _RIGHTS_END else None,
    )  # fmt: skip


def _command_data(
    stage: str, device: str, uuid: str, request_type: str, status: str, at: datetime
) -> bytes:
    return msgspec.json.encode(
        {
            "id": uuid,
            "device": device,
            "stage": stage,
            "status": status,
            "request_type": request_type,
            "at": at,
        }
    )
