"""Rounds: what is asked at about the same time is done together, and shares a commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from appliance.errors import Busy

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_MOST_TOGETHER = 32
_SECONDS_AT_ONCE = 0.008  # for which everybody else may have to wait


@dataclass(slots=True, eq=False)
class Asked(Generic[Question, Answer]):
    """One question of a round, and the future of its answer."""

    question: Question
    answer: asyncio.Future[Answer]

    def give(self, answer: Answer) -> None:
        """Answer it, unless who asked has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Answer it by raising `error`, unless who asked has gone."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Rounds(Generic[Question, Answer]):
    """Holds one round after the other, each with all who came during the one before it.

    `hold` answers every question of a round. It works on the event loop and not in a thread, as
    that would not help: while cryptography works, it keeps the interpreter locked, so all others
    wait in any case, and for the changes of thread as well.
    """

    def __init__(
        self, hold: Callable[[Sequence[Asked[Question, Answer]]], Awaitable[None]]
    ) -> None:
        self._hold = hold
        self._waiting: list[Asked[Question, Answer]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Return the answer, or raise what it failed by."""
        loop = asyncio.get_running_loop()
        asked: Asked[Question, Answer] = Asked(question, loop.create_future())
        self._waiting.append(asked)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return await asked.answer

    async def _run(self) -> None:
        while self._waiting:
            now = self._waiting[:_MOST_TOGETHER]
            del self._waiting[:_MOST_TOGETHER]
            try:
                await self._hold(now)
            except BaseException as error:  # a panic of Rust's is no Exception
                known = isinstance(error, Exception)
                for asked in now:
                    asked.fail(error if known else Busy("the request was given up"))
                if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                    raise


class Breath:
    """Lets everybody else be heard when a piece of work has gone on for too long."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS_AT_ONCE

    async def take(self) -> None:
        """Call this between two steps, none of which can be interrupted."""
        if time.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + _SECONDS_AT_ONCE
