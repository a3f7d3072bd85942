"""Rounds: everybody is answered, whatever happens to the others."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import pytest

from appliance.errors import Busy
from appliance.services.rounds import Rounds, Steps, Unit

SECONDS = 60


def doubled(number: int) -> Steps[int]:
    """Twice the number, when the store has said so."""
    yield None
    stored: int = yield lambda _db: number
    yield None
    return stored * 2


class Store:
    """Runs units of work when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []  # the units of each commit
        self.may_go_on = asyncio.Event()
        self._commit: asyncio.Task[None] | None = None
        self._units: list[tuple[Unit, asyncio.Future[Any]]] = []

    def __call__(self, unit: Unit) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._units.append((unit, future))
        if self._commit is None or self._commit.done():
            self._commit = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        await self.may_go_on.wait()
        units, self._units = self._units, []
        self.asked.append([])
        db = sqlite3.connect(":memory:")
        for unit, future in units:
            try:
                outcome = unit(db)
                self.asked[-1].append(outcome)
                future.set_result(outcome)
            except Exception as error:
                future.set_exception(error)
        db.close()


def open_store() -> Store:
    """A store that waits for nobody."""
    store = Store()
    store.may_go_on.set()
    return store


async def test_who_comes_during_a_round_is_in_the_next_one_and_a_round_shares_a_commit() -> None:
    store = Store()
    rounds: Rounds[int, int] = Rounds(doubled, store)
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        first = [group.create_task(rounds.ask(number)) for number in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        later = [group.create_task(rounds.ask(number)) for number in range(3, 60)]
        await asyncio.sleep(0)
        store.may_go_on.set()
    assert [task.result() for task in first + later] == [2 * number for number in range(60)]
    assert store.asked[0] == [0, 1, 2]
    assert [number for commit in store.asked for number in commit] == list(range(60))
    assert max(map(len, store.asked)) <= 32


async def test_a_step_is_taken_with_all_before_the_next() -> None:
    taken: list[tuple[str, int]] = []

    def steps(number: int) -> Steps[int]:
        for name in ("read", "made", "signed"):
            taken.append((name, number))
            yield None
        return number

    rounds: Rounds[int, int] = Rounds(steps, open_store())
    async with asyncio.timeout(SECONDS):
        assert await asyncio.gather(*(rounds.ask(number) for number in range(3))) == [0, 1, 2]
    assert taken == [(name, number) for name in ("read", "made", "signed") for number in range(3)]


async def test_one_that_is_done_early_or_fails_keeps_nobody_else() -> None:
    def steps(number: int) -> Steps[int]:
        if number == 0:
            raise OSError("cannot be read")
        yield None
        if number == 1:
            return 100
        if number == 2:

            def refuse(_db: sqlite3.Connection) -> int:
                raise Busy("the disk is full")

            yield refuse
        return (yield from doubled(number))

    rounds: Rounds[int, int] = Rounds(steps, open_store())
    async with asyncio.timeout(SECONDS):
        asked = (rounds.ask(number) for number in range(4))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], OSError)
    assert isinstance(answers[2], Busy)
    assert (answers[1], answers[3]) == (100, 6)


async def test_who_has_gone_keeps_nobody_from_an_answer() -> None:
    store = Store()
    rounds: Rounds[int, int] = Rounds(doubled, store)
    async with asyncio.timeout(SECONDS):
        tasks = [asyncio.create_task(rounds.ask(number)) for number in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        tasks[1].cancel()
        store.may_go_on.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 4)
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_a_panic_leaves_nobody_waiting() -> None:
    class Panic(BaseException):
        """As pyo3 raises for a panic of Rust's."""

    def steps(number: int) -> Steps[int]:
        yield None
        if number == 1:
            raise Panic
        return number

    rounds: Rounds[int, int] = Rounds(steps, open_store())
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*map(rounds.ask, (0, 1, 2)), return_exceptions=True)
        assert (answers[0], answers[2]) == (0, 2)
        assert isinstance(answers[1], Busy)
        assert await rounds.ask(3) == 3


async def test_others_are_heard_during_a_long_round() -> None:
    def steps(number: int) -> Steps[int]:
        time.sleep(0.05)
        yield None
        time.sleep(0.05)
        return number

    silences: list[float] = []
    answers: list[int] = []
    rounds: Rounds[int, int] = Rounds(steps, open_store())

    async def listen() -> None:
        while len(answers) < 5:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            silences.append(time.monotonic() - before)

    async def ask(number: int) -> None:
        answers.append(await rounds.ask(number))

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(listen(), *map(ask, range(5)))
    assert max(silences) < 0.2, "a round takes half a second"


async def test_a_round_that_cannot_be_held_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds: Rounds[int, int] = Rounds(doubled, open_store())
    loop = asyncio.get_running_loop()
    in_thread, refused = loop.run_in_executor, 0

    def run(*arguments: Any) -> Any:
        nonlocal refused
        if refused < 1:
            refused += 1
            raise RuntimeError("can't start new thread")
        return in_thread(*arguments)

    monkeypatch.setattr(loop, "run_in_executor", run)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*map(rounds.ask, range(40)), return_exceptions=True)
    assert {type(answer) for answer in answers[:32]} == {Busy}
    assert answers[32:] == [2 * number for number in range(32, 40)]
