"""The time, in the unit that the store keeps, and whether it can be believed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from appliance.errors import ClockWrong, InvalidRequest

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# This release was made then: a clock that says less is wrong. Set with each release: a
# test compares it with the dates of the changelog.
_RELEASED = datetime(2026, 11, 20, tzinfo=UTC)
_RELEASED_MS = int(_RELEASED.timestamp() * 1000)


def now_ms() -> int:
    """Return the time in Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000


def given_ms(moment: datetime, pointer: str) -> int:
    """Return a moment that a caller gives as Unix milliseconds.

    Raises:
        InvalidRequest: in UTC it lies outside of the calendar, so it could not be shown again.
    """
    try:
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except OverflowError as error:
        raise InvalidRequest(
            "the time lies outside of the years 1 to 9999, in UTC", pointer=pointer
        ) from error


def wait_seconds(times: Sequence[int], most: int, now: int) -> int:
    """Return how long whoever may do something `most` times an hour waits for the next, 0: not.

    Args:
        times: when it was done within the hour before `now`, oldest first.
    """
    if len(times) < most:
        return 0
    return max(1, -(-(times[-most] + HOUR - now) // 1000))


def is_behind(now: int) -> bool:
    """Tell whether the clock must be wrong, as on a machine that starts without one in 1970."""
    return now < _RELEASED_MS


def refuse_behind(now: int) -> None:
    """Refuse to make what carries a date while the date is wrong: nobody could use it.

    Raises:
        ClockWrong: the clock says a time before this release was made.
    """
    if is_behind(now):
        raise ClockWrong(
            f"the clock says {datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d}, "
            f"and this release is of {_RELEASED:%Y-%m-%d}",
            why="a certificate made now would have ended when the clock is right",
            fix="set the clock of the server; a network time service keeps it right",
        )
