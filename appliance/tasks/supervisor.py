"""The supervisor: runs each job again and again, bounded and observable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance import logs
from appliance.errors import ApplianceError

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0
_MOST_DOUBLINGS = 10  # far beyond the longest; a power of a thousand failures is no float


@dataclass(slots=True, kw_only=True)
class Job:
    """One job; `run` returns the seconds until it wants to run again."""

    name: str
    run: Callable[[], Awaitable[float]]
    timeout_seconds: float
    nudge: asyncio.Event = field(default_factory=asyncio.Event)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log(job: Job, error: BaseException) -> None:
    fields = {logs.JOB: job.name, logs.REASON: str(error)}
    if isinstance(error, ApplianceError):  # it says what is wrong; where, nobody needs to know
        logger.error("job failed", extra=fields)
    else:
        logger.exception("job failed", extra=fields)


async def run_jobs(jobs: list[Job], errors: dict[str, str]) -> None:
    """Run all jobs until cancelled; `errors` holds the last error of each that fails."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(repeat(job, errors), name=f"job {job.name}")


async def repeat(job: Job, errors: dict[str, str]) -> None:
    """Run one job until cancelled, as `run_jobs` does."""
    failures = 0
    while True:
        job.nudge.clear()
        try:
            # A task of its own: Python before 3.13 leaves a cancellation behind where a task of
            # a TaskGroup fails, which would look as if we were cancelled.
            async with asyncio.timeout(job.timeout_seconds):
                pause = await asyncio.ensure_future(job.run())
            errors.pop(job.name, None)
            failures = 0
        except (Exception, asyncio.CancelledError) as error:
            # One bad run must not end the job, nor its siblings; only who cancels us does.
            if _is_cancelled():
                raise
            errors[job.name] = repr(error)
            failures += 1
            doubled = _FIRST_BACKOFF_SECONDS * 2 ** min(failures, _MOST_DOUBLINGS)
            pause = min(doubled, _LONGEST_BACKOFF_SECONDS)
            _log(job, error)
        try:
            async with asyncio.timeout(pause):
                await job.nudge.wait()
        except TimeoutError:
            pass
