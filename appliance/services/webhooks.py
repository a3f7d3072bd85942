"""Webhooks: what a device says is kept for each receiver, in the transaction that acts on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec

from appliance.mdm.event import Said, event_of
from appliance.services.clock import now_ms
from appliance.services.deliveries import Sent
from appliance.services.paging import entries_before
from appliance.services.receivers import Receiver
from appliance.services.senders import Senders
from appliance.store import deliveries, events, webhooks
from appliance.store.database import Connection, Database
from appliance.store.deliveries import Delivery
from appliance.store.rooms import Room
from appliance.store.webhooks import WebhookState

TEST_TOPIC = "appliance.Test"

_PIECE = 100  # events that are replayed at once
_PIECE_BYTES = 1 << 20
_ROOM = Room(events=10_000, bytes=64 << 20)  # for each receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver and how it does."""

    receiver: Receiver
    state: WebhookState


class WebhookService:
    """Tells receivers of what devices say. Without a receiver it does nothing.

    `senders` are what delivers; through them receivers come and go.
    """

    def __init__(self, database: Database, senders: Senders) -> None:
        self._database = database
        self.senders = senders
        self._told = False  # something, since the last commit
        database.after_commit.append(self._committed)

    @property
    def enabled(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.senders.ids)

    def tell(
        self, db: Connection, said: Said, raw: bytes, now: int, *, tally: int | None = None
    ) -> None:
        """Queue, in this transaction, that a device said this; only if this is `enabled`.

        Args:
            raw: the message as it came, of a device that may say it.
            tally: how many a TokenUpdate is of its channel.
        """
        at = datetime.fromtimestamp(now / 1000, UTC)
        event = event_of(said, raw, event_id=str(uuid.uuid4()), at=at, tally=tally)
        if event is not None:
            webhooks.add(db, self.senders.ids, event, now, room=_ROOM)
            self._told = True

    async def listing(self) -> list[Webhook]:
        """Return the receivers and how they do: those of the configuration, then the others."""
        if not self.enabled:
            return []
        states = {state.id: state for state in await self._database.read(webhooks.states)}
        return [
            Webhook(receiver=sender.receiver, state=states[sender.receiver.id])
            for sender in self.senders
            if sender.receiver.id in states
        ]

    async def log(
        self, id_: str, cursor: str | None, limit: int, status: str | None
    ) -> tuple[list[Delivery], str | None]:
        """Return a receiver's events, newest first, and the cursor of the next page.

        Raises:
            NotFound: there is no such receiver.
            InvalidRequest: a cursor that is not one of ours.
        """
        sender, before = self.senders.get(id_), entries_before(cursor)
        read = partial(
            deliveries.log, webhook_id=sender.receiver.id, before=before, limit=limit + 1,
            status=status,
        )  # fmt: skip
        found = await self._database.read(read)
        more = len(found) > limit
        return found[:limit], str(found[limit - 1].id) if more else None

    async def test(self, id_: str) -> Sent:
        """Send the receiver an event of its own topic, now, once; if it takes it, it is enabled.

        Raises:
            NotFound: there is no such receiver.
        """
        sender = self.senders.get(id_)
        event_id = str(uuid.uuid4())
        event = {"topic": TEST_TOPIC, "event_id": event_id, "created_at": datetime.now(UTC)}
        sent = await sender.send(event_id, msgspec.json.encode(event))
        if sent.is_taken:
            await self._database.write(
                lambda db: webhooks.recover(db, sender.receiver.id, now_ms())
            )
            sender.work.set()
        return sent

    async def replay(self, id_: str, which: Sequence[int] | None, *, by: str) -> int:
        """Queue events of the log anew and try the receiver again; returns how many.

        Args:
            which: their numbers; None: all that failed.

        Raises:
            NotFound: there is no such receiver.
        """
        sender, now = self.senders.get(id_), now_ms()
        receiver = sender.receiver.id

        found = await self._database.read(
            partial(deliveries.replayable, webhook_id=receiver, which=which)
        )
        data = {"id": receiver, "count": len(found), "by": by}

        def unit(db: Connection) -> None:
            webhooks.enable(db, receiver, now)
            events.add(db, "webhook.replayed", now, data=data)

        await self._database.write(unit)
        replayed = 0
        for piece in _pieces(found):
            again = partial(webhooks.replay, id_=receiver, which=piece, now=now, room=_ROOM)
            replayed += await self._database.write(again)
        sender.work.set()
        return replayed

    def _committed(self) -> None:
        # The next transaction begins after this: nothing that it tells can be missed.
        if self._told:
            self._told = False
            for sender in self.senders:
                sender.work.set()


def _pieces(found: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Split numbers, each with a size, into what takes a few milliseconds of the writer."""
    piece: list[int] = []
    room = _PIECE_BYTES
    for number, size in found:
        piece.append(number)
        room -= size
        if len(piece) >= _PIECE or room <= 0:
            yield piece
            piece, room = [], _PIECE_BYTES
    if piece:
        yield piece
