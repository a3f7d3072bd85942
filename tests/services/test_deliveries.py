"""Deliveries: to a real receiver, retried, in order, signed, and given up in the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.config.webhook import WebhookConfig
from appliance.mdm.event import Event
from appliance.services import deliveries as module
from appliance.services.clock import DAY, HOUR, MINUTE
from appliance.services.deliveries import DeliveryService, signature_headers
from appliance.services.receivers import Receiver
from appliance.store import deliveries, events, webhooks
from appliance.store.database import Connection, Database
from appliance.store.rooms import Room
from appliance.store.webhooks import WebhookState
from tests.device import receiver as receivers
from tests.device.receiver import answer, receiver, receiving

__all__ = ["receiver"]

T = TypeVar("T")
ROOM = Room(events=1000, bytes=1 << 20)
START = 1_800_000_000_000


class Clock:
    """The time, which passes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Line:
    """A receiver, the queue before it and what empties it."""

    def __init__(self, database: Database, receiver: receivers.Receiver, clock: Clock) -> None:
        self.database = database
        self.receiver = receiver
        self.clock = clock
        self.config = WebhookConfig(urls=(receiver.url,), timeout="1s")
        self.service = self.with_(self.config)

    def with_(self, config: WebhookConfig, *, key: bytes | None = None) -> DeliveryService:
        """What empties the queue, with these settings."""
        to = Receiver(id="one", url=self.receiver.url, key=key)
        self.service = DeliveryService(self.database, to, config, ssl.create_default_context())
        return self.service

    async def put(self, *names: str) -> None:
        """Queue events; the first letter is the device."""

        def unit(db: Connection) -> None:
            webhooks.keep_only(db, ("one",))
            for name in names:
                event = Event(id=name, topic="mdm.Connect", device_id=name[0], body=name.encode())
                webhooks.add(db, ("one",), event, self.clock.now, room=ROOM)

        await self.database.write(unit)

    async def run(self) -> float:
        """Send until nothing more is due; returns the pause."""
        while (pause := await self.service.run()) == 0:
            pass
        return pause

    async def read(self, unit: Callable[[Connection], T]) -> T:
        """Ask the store."""
        return await self.database.read(unit)

    async def state(self) -> WebhookState:
        """How the receiver does."""
        found = await self.read(lambda db: webhooks.state(db, "one"))
        assert found is not None
        return found

    @property
    def bodies(self) -> list[str]:
        """What has come, in order."""
        return [one.body.decode() for one in self.receiver.received]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock, and no jitter."""
    clock = Clock()
    monkeypatch.setattr(module, "now_ms", clock)
    monkeypatch.setattr(module, "_spread", lambda wait: wait)
    return clock


@pytest.fixture
async def line(tmp_path: Path, receiver: receivers.Receiver, clock: Clock) -> AsyncIterator[Line]:
    """All of it."""
    database = await Database.open(tmp_path / "appliance.db")
    line = Line(database, receiver, clock)
    yield line
    await line.service.close()
    await database.close()


async def test_events_of_a_device_arrive_in_their_order_and_once(line: Line) -> None:
    await line.put(*(f"{device}{number}" for number in range(5) for device in "abc"))
    await line.run()
    for device in "abc":
        mine = [body for body in line.bodies if body[0] == device]
        assert mine == [f"{device}{number}" for number in range(5)]
    assert (await line.state()).delivered == 15


async def test_what_is_refused_is_tried_again_by_the_list_and_keeps_its_name(line: Line) -> None:
    line.receiver.behave = answer(400)
    await line.put("a1", "a2", "b1")
    waits = [5_000, 30_000, 2 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY]
    for tried, wait in enumerate(waits, 1):
        await line.run()
        assert line.bodies.count("a1") == line.bodies.count("b1") == tried
        line.clock.now += wait - 1
        await line.run()
        assert line.bodies.count("a1") == tried, "not a moment sooner"
        line.clock.now += 1
    assert "a2" not in line.bodies, "it waits for the one before it"
    await line.run()
    assert line.bodies.count("a1") == 8
    assert "a2" in line.bodies
    assert {one.headers["webhook-id"] for one in line.receiver.received} == {"a1", "a2", "b1"}
    shown = await line.read(
        lambda db: deliveries.log(db, "one", before=99, limit=9, status="failed")
    )
    assert [(one.event_id, one.attempts, one.answer) for one in shown] == [
        ("b1", 8, 400), ("a1", 8, 400),
    ]  # fmt: skip
    state = await line.state()
    assert (state.state, state.problem, state.failures) == ("failing", "it answered 400", 0)


async def test_one_event_that_is_refused_holds_up_only_its_device(line: Line) -> None:
    def behave(handler: object) -> None:
        bad = line.receiver.received[-1].body == b"a1"
        answer(422 if bad else 204)(handler)  # type: ignore[arg-type]

    line.receiver.behave = behave
    await line.put("a1", "a2", "b1", "b2", "c1")
    await line.run()
    assert sorted(line.bodies) == ["a1", "b1", "b2", "c1"]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_one_that_is_not_well_is_asked_once_after_ever_longer_pauses(
    line: Line, status: int
) -> None:
    line.receiver.behave = answer(status)
    await line.put(*(f"{device}1" for device in "abcdefghijklmnopqrstuvwxyz"))
    assert await line.run() == 5
    first = len(line.receiver.received)
    assert first <= 16, "what was under way"
    for pause in (30, 120, 600, 600, 600):
        line.clock.now = int((await line.state()).retry_at.timestamp() * 1000)  # type: ignore[union-attr]
        before = len(line.receiver.received)
        assert await line.run() == pause
        assert len(line.receiver.received) == before + 1, "a single one"
    assert (await line.state()).state == "failing"
    line.receiver.behave = answer(200)
    line.clock.now += 10 * MINUTE
    await line.run()
    line.clock.now += 10 * MINUTE
    await line.run()
    assert (await line.state()).waiting == 0, "soon, although some had been put off for an hour"
    assert (await line.state()).state == "ok"


async def test_one_that_is_away_is_sent_everything_when_it_is_back(
    line: Line, receiver: receivers.Receiver
) -> None:
    receiver.stop()
    await line.put("a1", "a2", "b1")
    assert 0 < await line.run() <= 5
    assert (await line.state()).problem.startswith("Connect")  # type: ignore[union-attr]
    with receiving(receiver.port) as again:
        line.receiver = again
        line.clock.now += 10 * MINUTE
        await line.run()
        assert sorted(line.bodies) == ["a1", "a2", "b1"]


async def test_gone_disables_it_at_once(line: Line) -> None:
    line.receiver.behave = answer(410)
    await line.put("a1", "b1", "c1")
    await line.run()
    await line.put("a2")
    line.clock.now += DAY
    await line.run()
    assert sorted(line.bodies) == ["a1", "b1", "c1"]
    state = await line.state()
    assert (state.state, state.waiting, state.dropped) == ("disabled", 3, 1)
    found = await line.read(lambda db: events.recent(db, enrollment_id=None, before=99, limit=9))
    assert [one.kind for one in found] == ["webhook.disabled"]


@pytest.mark.parametrize("status", [404, 500])
async def test_three_days_of_nothing_but_failures_disable_it(line: Line, status: int) -> None:
    line.receiver.behave = answer(status)
    while line.clock.now < START + 4 * DAY:
        await line.put(f"{chr(0x4E00 + len(line.receiver.received))}1")
        await line.run()
        if (await line.state()).state == "disabled":
            break
        line.clock.now += HOUR
    assert line.clock.now < START + 3 * DAY + 2 * HOUR
    assert line.clock.now > START + 3 * DAY


async def test_days_on_which_nothing_was_tried_do_not_count(line: Line) -> None:
    """The server was switched off for a long weekend, and is up again before the receiver."""
    line.receiver.behave = answer(503)
    await line.put("a1")
    await line.run()
    for _ in range(2):
        line.clock.now += 4 * DAY
        await line.run()
    assert (await line.state()).state == "failing"
    line.receiver.behave = answer(200)
    line.clock.now += HOUR
    await line.run()
    assert (await line.state()).state == "ok"


async def test_a_clock_that_was_ahead_holds_nothing_up(line: Line) -> None:
    line.receiver.behave = answer(500)
    line.clock.now = START + 400 * DAY
    await line.put("a1")
    await line.run()
    line.clock.now = START
    line.receiver.behave = answer(200)
    await line.service.close()
    line.with_(replace(line.config, retries=("5s",)))
    await line.run()
    line.clock.now += 10_000
    await line.run()
    assert line.bodies == ["a1", "a1"]


async def test_both_signatures_can_be_checked(line: Line) -> None:
    key = b"a secret of the receiver"
    line.with_(line.config, key=key)
    await line.put("a1")
    await line.run()
    (received,) = line.receiver.received
    heads = received.headers
    expected = base64.b64encode(hmac.digest(key, received.body, "sha256")).decode()
    assert heads["X-Hmac-Signature"] == expected
    signed = f"{heads['webhook-id']}.{heads['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert heads["webhook-signature"] == f"v1,{expected}"
    assert heads["Content-Type"] == "application/json; charset=utf-8"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its specification."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers(
        [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_after_a_rotation_both_secrets_sign_for_a_day() -> None:
    receiver = Receiver(id="one", url="http://a/", key=b"former").with_key(b"newer", START)
    assert receiver.keys(START + DAY - 1) == [b"newer", b"former"]
    assert receiver.keys(START + DAY) == [b"newer"]
    both = signature_headers(receiver.keys(START), "E", 1, b"body")
    newer, former = (signature_headers([key], "E", 1, b"body") for key in (b"newer", b"former"))
    assert both["webhook-signature"].split() == [
        newer["webhook-signature"], former["webhook-signature"],
    ]  # fmt: skip
    assert both["X-Hmac-Signature"] == newer["X-Hmac-Signature"]


def test_without_a_secret_nothing_is_signed() -> None:
    assert set(signature_headers([], "E", 1, b"")) == {"webhook-id", "webhook-timestamp"}


async def test_the_log_of_a_fast_receiver_is_forgotten_in_pieces_that_hold_up_nobody(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.put()

    def fill(db: Connection) -> None:
        db.executemany(
            """
            INSERT INTO webhook_deliveries (webhook_id, event_id, topic, device_id, body,
                                            created_at, status)
            VALUES ('one', 'e', 'mdm.Connect', 'A', zeroblob(?), ?, 'delivered')
            """,
            [(1_000_000 if number % 1000 == 0 else 100, START) for number in range(10_000)],
        )

    await line.database.write(fill)
    pieces: list[tuple[int, int]] = []
    prune, size = deliveries.prune, "SELECT count(*), sum(length(body)) FROM webhook_deliveries"

    def watched(db: Connection, webhook_id: str, **bounds: int) -> int:
        before = db.execute(size).fetchone()
        pruned = prune(db, webhook_id, **bounds)
        after = db.execute(size).fetchone()
        pieces.append((before[0] - after[0], before[1] - after[1]))
        return pruned

    monkeypatch.setattr(deliveries, "prune", watched)
    await line.run()
    assert sum(rows for rows, _ in pieces) == 9_000
    assert max(rows for rows, _ in pieces) <= 250
    assert max(size for _, size in pieces) <= 2 << 20
    assert line.receiver.received == []


async def test_without_a_list_of_retries_each_event_is_tried_once(line: Line) -> None:
    line.with_(replace(line.config, retries=()))
    line.receiver.behave = answer(500)
    await line.put("a1", "b1", "c1")
    for _ in range(3):
        await line.run()
        line.clock.now += HOUR
    state = await line.state()
    assert (state.waiting, state.failed) == (0, 3)
