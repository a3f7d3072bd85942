"""What delivers: one sender for each receiver of webhooks, as they come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

from appliance.config.webhook import MOST_RECEIVERS, WebhookConfig
from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.services.clock import now_ms
from appliance.services.deliveries import DeliveryService
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


class Senders:
    """All of them: those of the configuration, then those that were added.

    `changed` is set when receivers came or went.
    """

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
        self._senders: dict[str, DeliveryService] = {}
        for receiver in configured_receivers(config):
            self._take(receiver)

    def __iter__(self) -> Iterator[DeliveryService]:
        return iter(self._senders.values())

    @property
    def ids(self) -> Sequence[str]:
        """Those of the receivers."""
        return tuple(self._senders)

    def get(self, id_: str) -> DeliveryService:
        """Return the sender of this receiver.

        Raises:
            NotFound: there is no such receiver.
        """
        if id_ not in self._senders:
            raise NotFound("webhook", id_)
        return self._senders[id_]

    async def begin(self) -> None:
        """Know the receivers, and forget others with what waits for them."""
        for receiver in await self._database.read(self._added.load):
            if receiver.id not in self._senders:
                self._take(receiver)
        if await self._database.read(webhooks.known) != set(self.ids):
            await self._database.write(partial(webhooks.keep_only, ids=self.ids))

    async def close(self) -> None:
        """Close all connections to receivers."""
        await asyncio.gather(*(sender.close() for sender in self))

    async def add(self, url: str, secret: str | None, *, by: str) -> tuple[Receiver, str]:
        """Tell this receiver from now on; returns it and the secret that signs.

        Args:
            secret: None makes one.

        Raises:
            InvalidRequest: address or secret cannot be used, or there are too many receivers.
            Conflict: it is a receiver already.
        """
        secret = secret or new_secret()
        receiver, now = added_receiver(url, given_key(secret)), now_ms()

        def unit(db: Connection) -> None:
            self._added.put(db, receiver, now)
            events.add(db, "webhook.added", now, data={"id": receiver.id, "by": by})
            webhooks.add_receiver(db, receiver.id)

        async with self._changing:
            self._check_room(receiver)
            await self._forget(receiver.id)  # what a removal left that was cut short
            await self._database.write(unit)
            self._take(receiver)
        return receiver, secret

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
            try:
                await self._forget(id_)
            finally:
                await sender.close()

    def _added_sender(self, id_: str) -> DeliveryService:
        sender = self.get(id_)
        if not sender.receiver.is_added:
            raise Conflict(
                f"the webhook {id_} stands in the configuration",
                code="webhook.configured",
                why="two places that say another thing of one receiver would contradict each other",
                fix="change `webhook.urls` or `webhook.secret_file`, then start the server again",
            )
        return sender

    def _check_room(self, receiver: Receiver) -> None:
        if receiver.id in self._senders:
            raise _exists(receiver)
        if len(self._senders) >= MOST_RECEIVERS:
            raise InvalidRequest(
                f"there are {MOST_RECEIVERS} receivers, as many as may be",
                why="each message of a device is stored once for each of them",
                fix="`appliance webhook rm` removes one",
            )

    async def _forget(self, id_: str) -> None:
        """Forget a receiver with what waits for it: in pieces, as that may be much."""
        while await self._database.write(partial(deliveries.clear, webhook_id=id_)):
            pass
        await self._database.write(partial(webhooks.remove, id_=id_))

    def _take(self, receiver: Receiver) -> None:
        # A new dictionary, because the writer's thread reads it.
        sender = DeliveryService(self._database, receiver, self._config, self._tls)
        self._senders = {**self._senders, receiver.id: sender}
        self.changed.set()


def _exists(receiver: Receiver) -> Conflict:
    return Conflict(
        f"{receiver.shown_url} is a receiver already",
        code="webhook.exists",
        why="it would be told everything twice",
        fix=f"`appliance webhook rotate {receiver.id}` gives it another secret",
    )
