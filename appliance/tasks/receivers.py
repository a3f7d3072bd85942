"""A job for each receiver of webhooks, as they come and go."""

from __future__ import annotations

import asyncio

from appliance.services.deliveries import DeliveryService
from appliance.services.webhooks import WebhookService
from appliance.tasks.supervisor import Job, repeat

_DELIVERY_SECONDS = 60.0
_LOOK_SECONDS = 60.0  # also unasked


async def run_receivers(webhooks: WebhookService, errors: dict[str, str]) -> None:
    """Run the jobs until cancelled; `errors` holds the last error of each that fails."""
    running: dict[DeliveryService, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            webhooks.changed.clear()
            for sender in running.keys() - set(webhooks.senders):
                running.pop(sender).cancel()
                errors.pop(_name(sender), None)
            for sender in set(webhooks.senders) - running.keys():
                job = Job(
                    name=_name(sender), run=sender.run, timeout_seconds=_DELIVERY_SECONDS,
                    nudge=sender.work,
                )  # fmt: skip
                running[sender] = group.create_task(repeat(job, errors), name=f"job {job.name}")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await webhooks.changed.wait()
            except TimeoutError:
                pass


def _name(sender: DeliveryService) -> str:
    return f"webhook {sender.receiver.id}"
