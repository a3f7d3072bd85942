"""Senders: receivers come and go, also where the store cuts that short."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.webhook import MOST_RECEIVERS, WebhookConfig
from appliance.errors import Busy
from appliance.mdm.event import Event
from appliance.services.senders import Senders
from appliance.services.vault import Vault
from appliance.store import deliveries, webhooks
from appliance.store.database import Connection, Database
from appliance.store.rooms import Room

_URL = "http://127.0.0.1:1/"


def busy(_db: Connection, **_arguments: object) -> int:
    """The store, at the worst moment."""
    raise Busy("the disk is full")


async def test_a_removal_that_was_cut_short_leaves_nothing_to_the_next_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    senders = Senders(database, WebhookConfig(), Vault(bytes(32)))
    receiver, _ = await senders.add(_URL, None, by="Aki")
    event = Event(id="1", topic="mdm.Connect", device_id="A", body=b"{}")
    room = Room(events=10, bytes=1000)
    await database.write(lambda db: webhooks.add(db, senders.ids, event, 1, room=room))
    with monkeypatch.context() as patched, pytest.raises(Busy):
        patched.setattr(deliveries, "clear", busy)
        await senders.remove(receiver.id, by="Aki")
    for number in range(1, MOST_RECEIVERS):
        await senders.add(f"{_URL}{number}", None, by="Aki")
    assert (await senders.add(_URL, None, by="Aki"))[0].id == receiver.id
    state = await database.read(lambda db: webhooks.state(db, receiver.id))
    assert state is not None
    assert state.waiting == 0
    await senders.remove(receiver.id, by="Aki")
    assert receiver.id not in await database.read(webhooks.known)
    await senders.close()
    await database.close()
