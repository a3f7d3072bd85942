"""What the network and APNs do on bad days, and that pushes survive it."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import ANY

import pytest

from appliance.apns import Accepted, Outcome, PushSender, Retry, connection
from appliance.apns.connection import PushConnection
from appliance.simulator.apns import ApnsAnswer, ApnsServer, Fault
from tests.apns.conftest import TARGET, MakeSender, target, until


async def send(sender: PushSender, number: int = 0) -> Outcome:
    """Push to one of many devices."""
    return await sender.send(target(number), expires_in_seconds=60)


async def test_f_04_a_reset_stream_is_to_be_retried_and_hurts_no_other(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.script(target(1).token, ApnsAnswer(fault=Fault.RESET))

    reset, other = await asyncio.gather(send(sender, 1), send(sender, 2))

    assert isinstance(reset, Retry)
    assert "reset" in reset.reason
    assert isinstance(other, Accepted)
    assert apns.connection_count == 1


async def test_f_04_a_refused_stream_is_sent_again_at_once(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.script(target(1).token, ApnsAnswer(fault=Fault.REFUSED_STREAM))

    assert isinstance(await send(sender, 1), Accepted)
    assert apns.push_count == 2


async def test_f_04_a_server_that_refuses_all_streams_gets_each_push_twice_at_most(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.default = ApnsAnswer(fault=Fault.REFUSED_STREAM)

    assert isinstance(await send(sender), Retry)
    assert apns.push_count == 2


async def test_f_04_goaway_lets_pushes_in_flight_finish_and_reconnects(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.script(target(1).token, ApnsAnswer(delay_seconds=0.05))
    apns.script(target(2).token, ApnsAnswer(fault=Fault.GOAWAY))

    outcomes = await asyncio.gather(send(sender, 1), send(sender, 2))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert apns.connection_count == 1
    assert isinstance(await send(sender, 3), Accepted)
    assert apns.connection_count == 2
    assert apns.push_count == 3, "nothing was sent twice"


async def test_f_04_a_push_that_goaway_excludes_is_sent_again_on_a_new_connection(
    apns: ApnsServer, sender: PushSender
) -> None:
    await send(sender)
    apns.script(target(1).token, ApnsAnswer(fault=Fault.GOAWAY_ABRUPT))

    assert isinstance(await send(sender, 1), Accepted)
    assert [push.connection for push in apns.pushes] == [1, 1, 2]


async def test_f_04_late_settings_delay_a_push_and_do_not_duplicate_it(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    apns.settings_delay_seconds = 1.2

    outcome = await send(make_sender(timeout_seconds=1))

    assert isinstance(outcome, Accepted), "connecting may take twice the timeout"
    assert apns.push_count == 1


async def test_f_03_settings_that_never_come_are_to_be_retried(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    apns.settings_delay_seconds = 30
    sender = make_sender(timeout_seconds=0.1)

    outcome = await send(sender)

    assert isinstance(outcome, Retry)
    assert "no connection" in outcome.reason


async def test_f_03_a_silent_server_costs_one_timeout_for_all_senders_together(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    apns.default = ApnsAnswer(fault=Fault.SILENCE)
    sender = make_sender(timeout_seconds=0.3)
    started = time.monotonic()

    outcomes = await asyncio.gather(*(send(sender, number) for number in range(1500)))

    assert all(isinstance(outcome, Retry) for outcome in outcomes)
    assert time.monotonic() - started < 10
    assert apns.push_count <= 400, "those that waited for their turn were not sent"


async def test_one_slow_answer_does_not_cost_the_connection(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    sender = make_sender(timeout_seconds=1)
    apns.script(target(1).token, ApnsAnswer(fault=Fault.SILENCE))

    slow = asyncio.create_task(send(sender, 1))
    await until(lambda: apns.push_count == 1)
    assert isinstance(await send(sender, 2), Accepted)

    assert isinstance(await slow, Retry)
    assert isinstance(await send(sender, 3), Accepted)
    assert apns.connection_count == 1


async def test_a_connection_that_pings_and_answers_nobody_is_replaced(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    sender = make_sender(timeout_seconds=0.5)
    assert isinstance(await send(sender, 1), Accepted)
    apns.default = ApnsAnswer(fault=Fault.SILENCE)

    silent = asyncio.create_task(send(sender, 2))
    while not silent.done():
        for connected in apns.connections:
            connected.ping()
        await asyncio.sleep(0.05)
    assert isinstance(await silent, Retry)

    apns.default = ApnsAnswer()
    assert isinstance(await send(sender, 3), Accepted)
    assert apns.connection_count == 2


async def test_a_cancelled_caller_does_not_hurt_the_others(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.default = ApnsAnswer(delay_seconds=0.5)
    tasks = [asyncio.create_task(send(sender, number)) for number in range(6)]
    await until(lambda: apns.push_count == 6)

    tasks[0].cancel()
    others = await asyncio.gather(*tasks[1:])

    assert tasks[0].cancelled()
    assert all(isinstance(outcome, Accepted) for outcome in others)


async def test_a_cancelled_caller_and_a_lost_connection_leave_nobody_hanging(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    sender = make_sender()
    apns.default = ApnsAnswer(fault=Fault.SILENCE)
    tasks = [asyncio.create_task(send(sender, number)) for number in range(6)]
    await until(lambda: apns.push_count == 6)

    tasks[0].cancel()
    await asyncio.sleep(0)
    for each in list(apns.connections):
        each.drop()

    assert all(isinstance(outcome, Retry) for outcome in await asyncio.gather(*tasks[1:]))


async def test_a_caller_cancelled_while_connecting_leaves_the_connecting_to_the_next(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.settings_delay_seconds = 0.1
    first, second = (asyncio.create_task(send(sender, number)) for number in range(2))
    await asyncio.sleep(0.05)

    first.cancel()

    assert isinstance(await second, Accepted)


async def test_cancelled_senders_give_their_turn_to_the_next(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.max_concurrent_streams = 2
    apns.default = ApnsAnswer(delay_seconds=0.02)
    tasks = [asyncio.create_task(send(sender, number)) for number in range(30)]
    await until(lambda: apns.push_count >= 2)

    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) >= 20


async def test_a_connection_dropped_during_a_push_is_to_be_retried(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.script(TARGET.token, ApnsAnswer(fault=Fault.DROP))

    assert isinstance(await sender.send(TARGET, expires_in_seconds=60), Retry)


async def test_an_idle_connection_that_died_unnoticed_costs_no_push(
    apns: ApnsServer, sender: PushSender
) -> None:
    await send(sender)
    apns.script(TARGET.token, ApnsAnswer(fault=Fault.DROP))

    assert isinstance(await sender.send(TARGET, expires_in_seconds=60), Accepted)
    assert apns.connection_count == 2


async def test_a_restarted_server_gets_the_next_push(apns: ApnsServer, sender: PushSender) -> None:
    assert isinstance(await send(sender, 1), Accepted)
    await apns.stop()
    await apns.start(apns.port)

    assert isinstance(await send(sender, 2), Accepted)


async def test_f_03_while_the_server_is_down_callers_are_told_when_to_retry(
    apns: ApnsServer, sender: PushSender
) -> None:
    await apns.stop()
    first = await send(sender)
    started = time.monotonic()
    second = await send(sender)
    took = time.monotonic() - started
    await apns.start(apns.port)

    assert isinstance(first, Retry)
    assert "cannot connect" in first.reason
    assert isinstance(second, Retry)
    assert second.after_seconds is not None
    assert 0 < second.after_seconds <= 0.5
    assert took < 0.25, "no second attempt so soon"
    await asyncio.sleep(second.after_seconds + 0.01)  # a loop's clock may be that coarse
    assert isinstance(await send(sender), Accepted)


async def test_f_03_failures_are_spaced_further_and_further_apart(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.default = ApnsAnswer(fault=Fault.DROP)
    ends_at = time.monotonic() + 2
    while time.monotonic() < ends_at:
        await send(sender)
        await asyncio.sleep(0.01)

    assert apns.connection_count <= 5


@pytest.mark.parametrize("limit", [1, 7])
async def test_the_servers_limit_of_concurrent_streams_is_kept(
    apns: ApnsServer, sender: PushSender, limit: int
) -> None:
    apns.max_concurrent_streams = limit
    apns.default = ApnsAnswer(delay_seconds=0.1)

    outcomes = await asyncio.gather(*(send(sender, number) for number in range(4 * limit)))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert apns.most_in_flight == limit


async def test_a_server_that_allows_no_streams_is_to_be_retried(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    apns.max_concurrent_streams = 0

    outcome = await send(make_sender(timeout_seconds=1))

    assert outcome == Retry(reason="APNs accepts no further streams")


async def test_a_second_connection_is_opened_only_when_the_first_is_full(
    apns: ApnsServer, make_sender: MakeSender
) -> None:
    sender = make_sender(connections=2)
    apns.max_concurrent_streams = 5
    await asyncio.gather(*(send(sender, number) for number in range(5)))
    assert apns.connection_count == 1

    await asyncio.gather(*(send(sender, number) for number in range(50)))

    assert apns.connection_count == 2


async def test_close_lets_pushes_in_flight_finish_and_sends_nothing_more(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.default = ApnsAnswer(delay_seconds=0.1)
    in_flight = asyncio.create_task(send(sender, 1))
    await until(lambda: apns.push_count == 1)

    await sender.close()

    assert isinstance(await in_flight, Accepted)
    assert isinstance(await send(sender, 2), Retry)
    assert apns.push_count == 1


async def test_f_04_a_server_that_shuts_down_at_once_is_not_asked_again_at_once(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.shutting_down = True

    assert await send(sender) == Retry(reason="the push server is shutting down", after_seconds=ANY)
    assert apns.connection_count == 1


async def test_an_idle_connection_that_answers_ping_no_more_is_given_up(
    apns: ApnsServer, sender: PushSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PushConnection, "INACTIVITY_TIME", 0.05)
    monkeypatch.setattr(connection, "_PING_TIMEOUT_SECONDS", 0.05)
    await send(sender)
    (deaf,) = apns.connections
    deaf.pause()
    await until(lambda: not sender._pool._usable_connections())

    assert isinstance(await send(sender), Accepted)
    assert apns.connection_count == 2


async def test_an_idle_connection_is_kept_by_ping(
    apns: ApnsServer, sender: PushSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PushConnection, "INACTIVITY_TIME", 0.05)
    await send(sender)
    await asyncio.sleep(0.3)

    assert isinstance(await send(sender), Accepted)
    assert apns.connection_count == 1


async def test_thousands_of_pushes_leave_nothing_behind(
    apns: ApnsServer, sender: PushSender
) -> None:
    await asyncio.gather(*(send(sender, number) for number in range(3000)))

    (used,) = sender._pool._connections
    assert not sender._pool._waiting
    assert not used._exchanges
    assert not used.request_streams
    assert len(used.conn.streams) <= 800, "h2 keeps ended streams until the next look"
