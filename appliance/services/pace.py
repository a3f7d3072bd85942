"""The pace of pushes: each of them brings a device back, with a TLS handshake and its answers."""

from __future__ import annotations

_BURST_SECONDS = 0.25  # as far as Apple's answers may be away without slowing the pace
_FEWEST = 2
_BUSY = 0.6  # the share of its time that the event loop may work before fewer are woken
_SLOWEST = 0.1
_LOOK_SECONDS = 0.05


class Pace:
    """So many a second at most, and the fewer the busier the event loop is with those who came.

    What a machine can do is measured by doing it: a small one wakes its fleet more slowly.
    """

    def __init__(self, per_second: int) -> None:
        self._rate = float(per_second)
        self._most = max(self._rate * _BURST_SECONDS, float(_FEWEST))
        self._left = self._most
        self._at = self._worked = 0.0
        self._ease = 1.0

    def room(self, now: float, worked: float) -> int:
        """Return how many may be woken now; 0 or at least 2.

        Args:
            now: the clock, in seconds.
            worked: the processor time that the event loop has used until then, in seconds.
        """
        passed = now - self._at
        if passed >= _LOOK_SECONDS:
            share = (worked - self._worked) / passed
            self._ease = min(1.0, max(_SLOWEST, (1.0 - share) / (1.0 - _BUSY)))
            self._left = min(self._most, self._left + passed * self._rate * self._ease)
            self._at, self._worked = now, worked
        return int(self._left) if self._left >= _FEWEST else 0

    def spend(self, count: int) -> None:
        """Say that so many were woken."""
        self._left -= count

    @property
    def wait_seconds(self) -> float:
        """How long it takes until there is room again, after `room` was 0."""
        return max((_FEWEST - self._left) / (self._rate * self._ease), _LOOK_SECONDS)
