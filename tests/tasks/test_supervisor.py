"""Jobs: one that fails is seen, waits, and runs again; its siblings do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from appliance.errors import Busy
from appliance.tasks import supervisor
from appliance.tasks.supervisor import Job, run_jobs


class Scripted:
    """A job that does what it is told, once for each run; then it is content."""

    def __init__(self, *outcomes: BaseException) -> None:
        self.outcomes = list(outcomes)
        self.at: list[float] = []
        self.content = asyncio.Event()

    async def run(self) -> float:
        self.at.append(asyncio.get_running_loop().time())
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.content.set()
        return 60


@asynccontextmanager
async def supervised(
    **scripts: Callable[[], Awaitable[float]],
) -> AsyncIterator[dict[str, str]]:
    """The jobs at work; yields what is said of those that fail."""
    errors: dict[str, str] = {}
    jobs = [Job(name=name, run=run, timeout_seconds=0.2) for name, run in scripts.items()]
    work = asyncio.create_task(run_jobs(jobs, errors))
    yield errors
    work.cancel()
    await asyncio.wait({work}, timeout=30)
    assert work.cancelled(), "who cancels the jobs is heard"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of 0.05, 0.1, 0.1 … seconds."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "_LONGEST_BACKOFF_SECONDS", 0.1)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unforeseen"),
        MemoryError(),
        Busy("the disk is full"),
        asyncio.CancelledError("by its own mistake"),
        ExceptionGroup("several", [ValueError()]),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_e_16_a_job_that_fails_is_run_again_and_its_sibling_does_not_notice(
    error: BaseException,
) -> None:
    failing, sibling = Scripted(error, error), Scripted()
    async with supervised(failing=failing.run, sibling=sibling.run) as errors:
        async with asyncio.timeout(60):
            while "failing" not in errors:
                await asyncio.sleep(0)
            await failing.content.wait()
            while errors:
                await asyncio.sleep(0)
            await sibling.content.wait()
    assert len(failing.at) == 3
    assert failing.at[1] - failing.at[0] >= 0.05
    assert failing.at[2] - failing.at[1] >= 0.1
    assert len(sibling.at) == 1


async def test_e_16_a_job_that_hangs_is_given_up_and_run_again() -> None:
    runs = 0

    async def hangs_once() -> float:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.sleep(60)
        return 60

    async with supervised(hanging=hangs_once) as errors:
        async with asyncio.timeout(60):
            while "hanging" not in errors:
                await asyncio.sleep(0.01)
            assert "TimeoutError" in errors["hanging"]
            while errors:
                await asyncio.sleep(0.01)
    assert runs == 2


async def test_a_job_that_fails_for_a_day_is_still_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_SECONDS", 0.0)
    job = Scripted(*(Busy("the disk is full") for _ in range(1500)))
    async with supervised(job=job.run):
        await asyncio.wait_for(job.content.wait(), 60)


async def test_e16_a_failure_among_tasks_of_a_job_is_the_jobs_alone() -> None:
    """Python before 3.13 leaves a cancellation behind where a task of a group fails."""
    done = asyncio.Event()
    runs: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise Busy("the store cannot write now")

    async def run() -> float:
        runs.append("run")
        if len(runs) > 1:
            done.set()
            return 60.0
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
        return 0.0

    errors: dict[str, str] = {}
    job = Job(name="push", run=run, timeout_seconds=60.0)
    supervised = asyncio.create_task(run_jobs([job], errors))
    async with asyncio.timeout(10):
        while not errors:
            assert not supervised.done()
            await asyncio.sleep(0.01)
        job.nudge.set()
        await done.wait()
    supervised.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervised
