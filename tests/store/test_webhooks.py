"""The queues of receivers: bounded, in the order of each device, and counted rightly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.mdm.event import Event
from appliance.store import deliveries, webhooks
from appliance.store.database import Connection, Database
from appliance.store.deliveries import Failure
from appliance.store.rooms import Room
from appliance.store.webhooks import WebhookState

from .test_queries import Recorder

ROOM = Room(events=5, bytes=10_000)
FAILURE = Failure(answer=500, problem="it answered 500", at=10)


def event(name: str, device: str = "A", size: int = 10) -> Event:
    return Event(id=name, topic="mdm.Connect", device_id=device, body=b"x" * size)


def add(db: Connection, *events: Event) -> None:
    webhooks.keep_only(db, ("one", "two"))
    for one in events:
        webhooks.add(db, ("one", "two"), one, 1, room=ROOM)


def state(db: Connection, id_: str = "one") -> WebhookState:
    found = webhooks.state(db, id_)
    assert found is not None
    waiting, size = db.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM webhook_deliveries"
        " WHERE webhook_id = ? AND status = 'waiting'",
        (id_,),
    ).fetchone()
    assert (found.waiting, found.waiting_bytes) == (waiting, size), "what is counted is there"
    return found


def due(db: Connection, now: int = 100) -> list[str]:
    return [one.event_id for one in deliveries.due(db, "one", now, limit=9)]


def number(db: Connection, name: str) -> int:
    (found,) = db.execute(
        "SELECT id FROM webhook_deliveries WHERE webhook_id = 'one' AND event_id = ?", (name,)
    ).fetchone()
    return int(found)


async def test_of_each_device_one_event_is_due_and_the_next_when_that_is_over(
    database: Database,
) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a1"), event("a2"), event("b1", "B"), event("b2", "B"))
        assert due(db) == ["a1", "b1"]
        webhooks.took(db, "one", number(db, "a1"), answer=200, now=2)
        assert due(db) == ["b1", "a2"]
        webhooks.put_off(db, "one", number(db, "b1"), FAILURE, due_at=200)
        assert due(db) == ["a2"], "b2 waits for b1"
        assert due(db, 200) == ["a2", "b1"]
        webhooks.gave_up(db, "one", number(db, "b1"), FAILURE)
        assert due(db, 200) == ["a2", "b2"]
        shown = state(db)
        assert (shown.delivered, shown.retried, shown.failed, shown.waiting) == (1, 1, 1, 2)
        assert state(db, "two").waiting == 4, "the other receiver's queue is its own"

    await database.write(unit)


async def test_without_room_the_oldest_gives_way(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, *(event(f"a{n}") for n in range(4)), event("b1", "B"), event("a4"), event("a5"))
        assert due(db) == ["a2", "b1"]
        assert (state(db).waiting, state(db).dropped) == (5, 2)
        webhooks.took(db, "one", 1, answer=200, now=2)  # it was on its way when it was dropped
        assert state(db).waiting == 5

    await database.write(unit)


async def test_without_room_the_device_gives_way_that_has_the_most(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, event("b1", "B"), event("c1", "C"), *(event(f"a{n}") for n in range(9)))
        assert due(db) == ["b1", "c1", "a6"]
        add(db, *(event(f"{name}1", name) for name in "DE"))
        assert due(db) == ["b1", "c1", "a8", "D1", "E1"], "until no one has more than another"
        add(db, event("F1", "F"))
        assert due(db) == ["c1", "a8", "D1", "E1", "F1"], "then it is the oldest"
        assert (state(db).waiting, state(db).dropped) == (5, 9 + 2 + 1 + 2 - 5)

    await database.write(unit)


async def test_a_full_queue_frees_a_hundredth_at_once(database: Database) -> None:
    def unit(db: Connection) -> None:
        webhooks.keep_only(db, ("one",))
        quiet = [event(f"quiet {n}", f"quiet {n}") for n in range(50)]
        for one in [*quiet, *(event(str(n)) for n in range(351))]:
            webhooks.add(db, ("one",), one, 1, room=Room(events=400, bytes=1 << 20))
        assert (state(db).waiting, state(db).dropped) == (396, 5)
        assert due(db)[:2] == ["quiet 0", "quiet 1"]

    await database.write(unit)


async def test_large_events_have_room_by_their_size(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a"), event("b", "B", 6_000), event("c", "C", 6_000))
        assert due(db) == ["a", "c"], "the large ones give way to each other"
        assert (state(db).waiting_bytes, state(db).dropped) == (6_010, 1)
        webhooks.add(db, ("one",), event("d", "D", 12_000), 1, room=ROOM)
        assert due(db) == ["a", "c"], "one that has no room at all"

    await database.write(unit)


async def test_one_that_is_disabled_gets_nothing_and_what_it_misses_is_counted(
    database: Database,
) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a"))
        webhooks.disable(db, "one", 5, problem="it answered 410")
        add(db, event("b"))
        assert (state(db).waiting, state(db).dropped, state(db).state) == (1, 1, "disabled")
        assert state(db, "two").waiting == 2
        webhooks.recover(db, "one", 9)
        assert (state(db).state, state(db).problem) == ("ok", None)

    await database.write(unit)


async def test_one_that_is_well_again_gets_soon_what_was_put_off(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a"), event("b", "B"))
        webhooks.put_off(db, "one", number(db, "a"), FAILURE, due_at=86_400_000)
        webhooks.fell_ill(db, "one", retry_at=50)
        assert (state(db).state, state(db).failures) == ("failing", 1)
        webhooks.took(db, "one", number(db, "b"), answer=200, now=1000)
        assert deliveries.next_due(db, "one") == 1000 + 600_000
        assert state(db).state == "ok"

    await database.write(unit)


async def test_what_failed_is_replayed_at_the_end_with_the_same_name(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a"), event("b"), event("c"))
        webhooks.gave_up(db, "one", number(db, "a"), FAILURE)
        webhooks.took(db, "one", number(db, "b"), answer=200, now=3)
        ((failed, _),) = deliveries.replayable(db, "one", None)
        assert webhooks.replay(db, "one", [failed], 4, room=ROOM) == 1
        assert due(db) == ["c"]
        webhooks.took(db, "one", number(db, "c"), answer=200, now=5)
        assert due(db) == ["a"]
        assert webhooks.replay(db, "one", [number(db, "b"), 999], 6, room=ROOM) == 1
        assert webhooks.replay(db, "one", [number(db, "a")], 6, room=ROOM) == 0, "it waits"
        assert state(db).waiting == 2

    await database.write(unit)


async def test_the_log_is_kept_short(database: Database) -> None:
    def unit(db: Connection) -> None:
        webhooks.keep_only(db, ("one",))
        for name in range(10):
            webhooks.add(db, ("one",), event(str(name), str(name), 100), name, room=ROOM)
            if name < 8:
                webhooks.took(db, "one", number(db, str(name)), answer=200, now=name)

        def kept(**bounds: int) -> list[str]:
            bounds = {"keep": 99, "keep_bytes": 9999, "before": 0, **bounds}
            before = bounds.pop("before")
            until = deliveries.beyond(db, "one", **bounds)
            while deliveries.prune(db, "one", until=until, before=before):
                pass
            shown = deliveries.log(db, "one", before=999, limit=99, status=None)
            return [one.event_id for one in shown]

        assert kept(before=2) == list("98765432")
        assert kept(keep=5) == list("9876543")
        assert kept(keep_bytes=350) == list("98765")
        found = deliveries.log(db, "one", before=999, limit=99, status="waiting")
        assert [one.event_id for one in found] == ["9", "8"], "what waits stays"

    await database.write(unit)


async def test_a_receiver_that_is_no_longer_configured_is_forgotten(database: Database) -> None:
    def unit(db: Connection) -> None:
        add(db, event("a"))
        webhooks.keep_only(db, ("two", "three"))
        assert webhooks.known(db) == {"two", "three"}
        assert state(db, "two").waiting == 1
        assert deliveries.log(db, "one", before=9, limit=9, status=None) == []
        webhooks.add(db, ("one",), event("b"), 1, room=ROOM)
        assert webhooks.known(db) == {"two", "three"}, "an event makes no receiver"

    await database.write(unit)


_HOT: dict[str, Callable[[Connection], object]] = {
    "add": lambda db: webhooks.add(db, ("one",), event("a"), 1, room=Room(events=0, bytes=0)),
    "due": lambda db: deliveries.due(db, "one", 1, limit=9),
    "next due": lambda db: deliveries.next_due(db, "one"),
    "took": lambda db: webhooks.took(db, "one", 1, answer=200, now=1),
    "gave up": lambda db: webhooks.gave_up(db, "one", 1, FAILURE),
    "bring forward": lambda db: deliveries.bring_forward(db, "one", latest=9),
}


@pytest.mark.parametrize("name", _HOT)
async def test_no_query_of_a_delivery_grows_with_queue_or_log(
    database: Database, name: str
) -> None:
    def unit(db: Connection) -> list[str]:
        add(db, event("a"))
        recorder = Recorder(db)
        _HOT[name](recorder)  # type: ignore[arg-type]
        return recorder.plans

    plans = await database.write(unit)
    assert plans
    assert [plan for plan in plans if "SCAN" in plan and "CONSTANT ROW" not in plan] == []
