"""sd_notify(3): tells systemd that the server is ready, alive, or stopping."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable

_STARTING_SECONDS = 0.2
_DEFAULT_SECONDS = 30.0


def is_listening() -> bool:
    """Tell whether the process was started by somebody who wants to be notified."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*assignments: str) -> None:
    """Send assignments such as `READY=1` in one message; nothing if nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        sender.connect(address)
        sender.sendall("\n".join(assignments).encode())


def watchdog_seconds() -> float | None:
    """Return within what time systemd wants to hear that the process is alive, if it does."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() else None


class Reporter:
    """Says READY=1 once nothing stands in the way, and from then on that the server lives."""

    def __init__(self, obstacles: Callable[[], Awaitable[list[str]]]) -> None:
        self._obstacles = obstacles
        self._ready = False

    async def report(self) -> float:
        """Send one message, and return the seconds until the next one is due."""
        reasons = await self._obstacles()
        status = f"STATUS={'; '.join(reasons) or 'ready'}"
        if not self._ready and reasons:
            notify(status)
            return _STARTING_SECONDS
        notify(status, "WATCHDOG=1" if self._ready else "READY=1")
        self._ready = True
        return (watchdog_seconds() or _DEFAULT_SECONDS) / 2
