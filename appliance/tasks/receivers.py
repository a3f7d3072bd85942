"""A job for each receiver of webhooks, as they come and go."""

from __future__ import annotations

import asyncio

from appliance.services.deliveries import DeliveryService
from appliance.services.senders import Senders
from appliance.tasks.supervisor import Job, repeat

_DELIVERY_SECONDS = 60.0
_LOOK_SECONDS = 60.0  # also unasked


async def run_receivers(senders: Senders, errors: dict[str, str]) -> None:
    """Run the jobs until cancelled; `errors` holds the last error of each that fails."""
    running: dict[DeliveryService, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            senders.changed.clear()
            for sender in running.keys() - set(senders):
                running.pop(sender).cancel()
                errors.pop(_name(sender), None)
            for sender in set(senders) - running.keys():
                job = Job(
                    name=_name(sender), run=sender.run, timeout_seconds=_DELIVERY_SECONDS,
                    nudge=sender.work,
                )  # fmt: skip
                running[sender] = group.create_task(repeat(job, errors), name=f"job {job.name}")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await senders.changed.wait()
            except TimeoutError:
                pass


def _name(sender: DeliveryService) -> str:
    return f"webhook {sender.receiver.id}"
