"""Rounds: what is asked at about the same time is done together, and shares a commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from appliance.errors import Busy
from appliance.store.database import Connection

logger = logging.getLogger(__name__)

Question = TypeVar("Question")
Answer = TypeVar("Answer")

Unit: TypeAlias = Callable[[Connection], Any]
# What is done for one question: yields None between two steps, or a unit of work to be stored,
# whose result is sent back once it is committed; returns the answer.
Steps: TypeAlias = Generator[Unit | None, Any, Answer]

_MOST_TOGETHER = 32


@dataclass(slots=True)
class _Done(Generic[Answer]):
    answer: Answer


@dataclass(slots=True, eq=False)
class _Asked(Generic[Answer]):
    steps: Steps[Answer]
    answer: asyncio.Future[Answer]
    said: Any = None  # to the next step

    def give(self, answer: Answer) -> None:
        if not self.answer.done():  # or who asked has gone
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Rounds(Generic[Question, Answer]):
    """Holds one round after the other, each with all who came during the one before it.

    A round takes one step with all before it takes the next, in a thread. So steps that are alike
    follow one another, which is quicker by a twentieth: RSA leaves nothing of what came before it
    in the processor's caches. And others are served meanwhile, for cryptography lets go of the
    interpreter while it computes; one thread for each question would cost more than it gains.
    """

    def __init__(
        self,
        begin: Callable[[Question], Steps[Answer]],
        store: Callable[[Unit], asyncio.Future[Any]],
    ) -> None:
        """Keep how a question is begun, and what stores a unit of work: `Database.write`."""
        self._begin = begin
        self._store = store
        self._waiting: list[_Asked[Answer]] = []
        self._task: asyncio.Task[None] | None = None
        # Its own: what strangers make others do in threads must keep nobody waiting here.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rounds")

    async def ask(self, question: Question) -> Answer:
        """Return the answer, or raise what it failed by."""
        loop = asyncio.get_running_loop()
        asked: _Asked[Answer] = _Asked(self._begin(question), loop.create_future())
        self._waiting.append(asked)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return await asked.answer

    async def _run(self) -> None:
        while self._waiting:
            now = self._waiting[:_MOST_TOGETHER]
            del self._waiting[:_MOST_TOGETHER]
            try:
                while now:
                    await self._take_step(now)
                    now = [asked for asked in now if not asked.answer.done()]
            except (
                Exception
            ):  # no thread or no memory to be had: others wait who may have more luck
                logger.exception("a round was given up")
            finally:
                for asked in now:
                    asked.fail(_given_up())

    async def _take_step(self, round_: Sequence[_Asked[Answer]]) -> None:
        stored: list[tuple[_Asked[Answer], asyncio.Future[Any]]] = []
        loop = asyncio.get_running_loop()
        steps = await loop.run_in_executor(self._thread, _take, round_)
        for asked, step in zip(round_, steps, strict=True):
            if isinstance(step, _Done):
                asked.give(step.answer)
            elif isinstance(step, Exception):
                asked.fail(step)
            elif step is not None:
                stored.append((asked, self._store(step)))
        if stored:
            await asyncio.wait([future for _, future in stored])
        for asked, future in stored:
            problem = future.exception()
            if problem is None:
                asked.said = future.result()
            else:
                asked.fail(problem)


def _take(
    round_: Sequence[_Asked[Answer]],
) -> list[Unit | _Done[Answer] | Exception | None]:
    outcomes: list[Unit | _Done[Answer] | Exception | None] = []
    for asked in round_:
        said, asked.said = asked.said, None
        try:
            outcomes.append(asked.steps.send(said))
        except StopIteration as end:
            outcomes.append(_Done(end.value))
        except Exception as error:
            outcomes.append(error)
        except BaseException:  # a panic of Rust's is no Exception
            logger.exception("a request failed by a panic")
            outcomes.append(_given_up())
    return outcomes


def _given_up() -> Busy:
    return Busy("the request was given up")
