"""What happened to a fleet: counted for the summary, and told to whoever listens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from appliance.simulator.channel import Report
from appliance.simulator.signatures import Standing
from appliance.simulator.state import DeviceState

Listener = Callable[[dict[str, Any]], None]


class Journal:
    """Counts events; `listener` gets each as a dict of JSON values."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._started = time.monotonic()
        self.enrolled = 0
        self.failures: Counter[str] = Counter()
        self.answered: Counter[tuple[str, str]] = Counter()
        self.left: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()

    def on_enrolled(self, state: DeviceState, profile: Standing) -> None:
        """A device is enrolled, by a profile whose signature it found so."""
        self.enrolled += 1
        self._tell("enrolled", state, profile=profile.value)

    def on_failed(self, state: DeviceState, reason: str) -> None:
        """A device could not enroll."""
        self.failures[reason] += 1
        self._tell("failed", state, reason=reason)

    def on_answered(self, state: DeviceState, report: Report) -> None:
        """A report about a command has reached the server."""
        self.answered[report.request_type, report.status] += 1
        self._tell(
            "answered",
            state,
            request_type=report.request_type,
            command_uuid=report.command_uuid,
            status=report.status,
        )

    def on_left(self, state: DeviceState, reason: str) -> None:
        """A device is not managed any more."""
        self.left[reason] += 1
        self._tell("unenrolled", state, reason=reason)

    def on_trouble(self, state: DeviceState, reason: str) -> None:
        """A message was not delivered or not understood; the device tries again later."""
        self.troubles[reason] += 1
        self._tell("trouble", state, reason=reason)

    def summary(self) -> dict[str, Any]:
        """Everything so far, as JSON."""
        commands: dict[str, dict[str, int]] = {}
        for (request_type, status), count in sorted(self.answered.items()):
            commands.setdefault(request_type, {})[status] = count
        return {
            "enrolled": self.enrolled,
            "failed": self.failures.total(),
            "failures": dict(self.failures.most_common()),
            "unenrolled": dict(self.left),
            "commands": commands,
            "troubles": dict(self.troubles.most_common()),
            "seconds": round(time.monotonic() - self._started, 2),
        }

    def _tell(self, event: str, state: DeviceState, **details: str) -> None:
        if self._listener is not None:
            who = {
                "udid": state.udid,
                "name": state.device_name,
                "serial_number": state.serial_number,
            }
            self._listener({"event": event, **who, **details})
