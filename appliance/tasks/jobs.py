"""The list of jobs, as data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from appliance import systemd
from appliance.services import Services
from appliance.services.tls import Tls
from appliance.tasks.supervisor import Job

_MINUTE = 60.0
_HOUR = 60 * _MINUTE


def jobs(services: Services, tls: Tls) -> list[Job]:
    """Return every background job of the server but those of `tasks/receivers`."""
    found = [
        Job(
            name="push",
            run=services.push.wake_backlog,
            timeout_seconds=_HOUR,
            nudge=services.push.work,
        ),
        Job(
            name="housekeeping",
            run=_every(_MINUTE, services.housekeeping.close_expired),
            timeout_seconds=_MINUTE,
        ),
        Job(
            name="server certificate",
            run=_every(_MINUTE, lambda: asyncio.to_thread(tls.renew_if_due)),
            timeout_seconds=_MINUTE,
            nudge=tls.wanted,
        ),
        Job(name="renewals", run=services.renewals.run, timeout_seconds=_HOUR),
        Job(name="integrity", run=services.integrity.weekly, timeout_seconds=_HOUR),
        Job(name="backup", run=services.backups.nightly, timeout_seconds=6 * _HOUR),
    ]
    if systemd.is_listening():
        reporter = systemd.Reporter(services.status.obstacles)
        found.append(Job(name="report to systemd", run=reporter.report, timeout_seconds=_MINUTE))
    return found


def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[float]]:
    async def run() -> float:
        await action()
        return seconds

    return run
