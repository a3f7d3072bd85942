"""Rounds: everybody is answered, whatever happens to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from appliance.errors import Busy
from appliance.services.rounds import Asked, Breath, Rounds

SECONDS = 60


async def test_who_comes_during_a_round_is_in_the_next_one() -> None:
    held: list[list[int]] = []
    go_on = asyncio.Event()

    async def hold(round_: Sequence[Asked[int, int]]) -> None:
        held.append([asked.question for asked in round_])
        await go_on.wait()
        for asked in round_:
            asked.give(asked.question * 2)

    rounds: Rounds[int, int] = Rounds(hold)
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        first = [group.create_task(rounds.ask(number)) for number in range(3)]
        while not held:
            await asyncio.sleep(0)
        later = [group.create_task(rounds.ask(number)) for number in range(3, 60)]
        await asyncio.sleep(0)
        go_on.set()
    assert [task.result() for task in first + later] == [2 * number for number in range(60)]
    assert held[0] == [0, 1, 2]
    assert [number for round_ in held for number in round_] == list(range(60)), "in their order"
    assert max(map(len, held)) <= 32


async def test_who_has_gone_keeps_nobody_from_an_answer() -> None:
    async def hold(round_: Sequence[Asked[int, int]]) -> None:
        for asked in round_:
            await asyncio.sleep(0.01)
            asked.give(asked.question)

    rounds: Rounds[int, int] = Rounds(hold)
    async with asyncio.timeout(SECONDS):
        tasks = [asyncio.create_task(rounds.ask(number)) for number in range(3)]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 2)
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_a_round_that_fails_fails_for_all_in_it_and_for_nobody_after() -> None:
    async def hold(round_: Sequence[Asked[int, int]]) -> None:
        if round_[0].question == 0:
            raise OSError("no more")
        for asked in round_:
            asked.give(asked.question)

    rounds: Rounds[int, int] = Rounds(hold)
    async with asyncio.timeout(SECONDS):
        for question in (0, 0):
            with pytest.raises(OSError, match="no more"):
                await rounds.ask(question)
        assert await rounds.ask(7) == 7


async def test_a_panic_leaves_nobody_waiting() -> None:
    class Panic(BaseException):
        """As pyo3 raises for a panic of Rust's."""

    async def hold(round_: Sequence[Asked[int, int]]) -> None:
        round_[0].give(0)
        if len(round_) > 1:
            raise Panic

    rounds: Rounds[int, int] = Rounds(hold)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(rounds.ask(1), rounds.ask(2), return_exceptions=True)
        assert answers[0] == 0
        assert isinstance(answers[1], Busy)
        assert await rounds.ask(3) == 0


async def test_others_are_heard_during_a_long_round() -> None:
    heard = 0

    async def listen() -> None:
        nonlocal heard
        while True:
            heard += 1
            await asyncio.sleep(0)

    listener = asyncio.create_task(listen())
    breath = Breath()
    for _ in range(20):
        time.sleep(0.005)
        await breath.take()
    listener.cancel()
    assert heard >= 5
