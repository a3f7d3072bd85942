"""Webhooks: what a device says is kept for each receiver, in the transaction that acts on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec

from appliance.config.webhook import MOST_RECEIVERS, WebhookConfig
from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.mdm.event import Said, event_of
from appliance.services.clock import now_ms
from appliance.services.deliveries import DeliveryService, Sent
from appliance.services.paging import entries_before
from appliance.services.receivers import (
    AddedReceivers,
    Receiver,
    added_receiver,
    configured_receivers,
    given_key,
    new_secret,
    tls_of,
)
from appliance.services.vault import Vault
from appliance.store import deliveries, events, receivers, webhooks
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
    """Tells receivers of what devices say. Without a receiver it does nothing."""

    def __init__(self, database: Database, config: WebhookConfig, vault: Vault) -> None:
        """Read the secret and the trust anchor.

        Raises:
            ConfigError: one of the files cannot be used.
        """
        self.changed = asyncio.Event()  # receivers came or went
        self._database = database
        self._added = AddedReceivers(vault)
        self._config = config
        self._tls = tls_of(config)
        self._changing = asyncio.Lock()
        self._told = False  # something, since the last commit
        self._senders: dict[str, DeliveryService] = {}
        for receiver in configured_receivers(config):
            self._take(receiver)
        database.after_commit.append(self._committed)

    @property
    def enabled(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._senders)

    @property
    def senders(self) -> Sequence[DeliveryService]:
        """What delivers, one for each receiver."""
        return tuple(self._senders.values())

    async def begin(self) -> None:
        """Know the receivers, and forget others with what waits for them."""
        for receiver in await self._database.read(self._added.load):
            if receiver.id not in self._senders:
                self._take(receiver)
        ids = tuple(self._senders)
        if await self._database.read(webhooks.known) != set(ids):
            await self._database.write(partial(webhooks.keep_only, ids=ids))

    async def close(self) -> None:
        """Close all connections to receivers."""
        for sender in self.senders:
            await sender.close()

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
            webhooks.add(db, tuple(self._senders), event, now, room=_ROOM)
            self._told = True

    async def add(self, url: str, secret: str | None, *, by: str) -> tuple[Webhook, str]:
        """Tell this receiver from now on; returns it and the secret that signs.

        Args:
            secret: None makes one.

        Raises:
            InvalidRequest: address or secret cannot be used, or there are too many receivers.
            Conflict: it is a receiver already.
        """
        secret = secret or new_secret()
        receiver, now = added_receiver(url, given_key(secret)), now_ms()

        def unit(db: Connection) -> WebhookState:
            known = webhooks.known(db)
            if receiver.id in known:
                raise _exists(receiver)
            if len(known) >= MOST_RECEIVERS:
                raise InvalidRequest(f"there are {MOST_RECEIVERS} receivers, as many as may be")
            self._added.put(db, receiver, now)
            events.add(db, "webhook.added", now, data={"id": receiver.id, "by": by})
            return webhooks.add_receiver(db, receiver.id)

        async with self._changing:
            state = await self._database.write(unit)
            self._take(receiver)
        return Webhook(receiver=receiver, state=state), secret

    async def rotate(self, id_: str, secret: str | None, *, by: str) -> tuple[Receiver, str]:
        """Sign with another secret, and for a day with the former one as well; returns the new one.

        Raises:
            NotFound: there is no such receiver.
            Conflict: it stands in the configuration.
            InvalidRequest: the secret cannot be used.
        """
        secret = secret or new_secret()
        key, now = given_key(secret), now_ms()
        async with self._changing:
            sender = self._added_sender(id_)
            receiver = sender.receiver.with_key(key, now)

            def unit(db: Connection) -> None:
                self._added.put(db, receiver, now)
                events.add(db, "webhook.rotated", now, data={"id": id_, "by": by})

            await self._database.write(unit)
            sender.receiver = receiver
        return receiver, secret

    async def remove(self, id_: str, *, by: str) -> None:
        """Tell a receiver nothing more, and forget what waits for it.

        Raises:
            NotFound: there is no such receiver.
            Conflict: it stands in the configuration.
        """
        now = now_ms()

        def unit(db: Connection) -> None:
            receivers.remove(db, id_)
            events.add(db, "webhook.removed", now, data={"id": id_, "by": by})

        async with self._changing:
            sender = self._added_sender(id_)
            await self._database.write(unit)
            self._senders = {key: one for key, one in self._senders.items() if key != id_}
            self.changed.set()
            while await self._database.write(partial(deliveries.clear, webhook_id=id_)):
                pass
            await self._database.write(partial(webhooks.remove, id_=id_))
            await sender.close()

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
        sender, before = self._sender(id_), entries_before(cursor)
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
        sender = self._sender(id_)
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
        sender, now = self._sender(id_), now_ms()
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

    def _sender(self, id_: str) -> DeliveryService:
        if id_ not in self._senders:
            raise NotFound("webhook", id_, fix="`appliance webhook list` has them")
        return self._senders[id_]

    def _added_sender(self, id_: str) -> DeliveryService:
        sender = self._sender(id_)
        if not sender.receiver.is_added:
            raise Conflict(
                f"the webhook {id_} stands in the configuration",
                code="webhook.configured",
                fix="change `webhook.urls` or `webhook.secret_file`, then start the server again",
            )
        return sender

    def _take(self, receiver: Receiver) -> None:
        # A new dictionary, because the writer's thread reads it.
        sender = DeliveryService(self._database, receiver, self._config, self._tls)
        self._senders = {**self._senders, receiver.id: sender}
        self.changed.set()

    def _committed(self) -> None:
        # The next transaction begins after this: nothing that it tells can be missed.
        if self._told:
            self._told = False
            for sender in self._senders.values():
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


def _exists(receiver: Receiver) -> Conflict:
    return Conflict(
        f"{receiver.shown_url} is a receiver already",
        code="webhook.exists",
        fix=f"`appliance webhook rotate {receiver.id}` gives it another secret",
    )
