"""Housekeeping: what expires is closed, whether or not anybody asks for it."""

from __future__ import annotations

import logging
import time

from appliance import logs
from appliance.services.clock import DAY, HOUR, MINUTE, is_behind, now_ms
from appliance.services.repeats import ANSWERS_STAY_MS
from appliance.services.sessions import SessionService
from appliance.store import commands, events, exchanges, idempotency, links, pushes, settings
from appliance.store.database import Connection, Database

logger = logging.getLogger(__name__)

_EVENTS_STAY_MS = 400 * DAY
_COMMAND_EVENTS_STAY_MS = 2 * DAY
_EVENTS_AT_ONCE = 20_000  # a minute: the writer is not held up, and 150 commands a second fit
_CLOCK_SEEN = "clock_seen"
_LEAP_MS = 30 * DAY
_BELIEVED_AFTER_SECONDS = 24 * 3600.0
_STEP_MS = 10_000
_LONGEST_PUSH_WAIT_MS = 25 * HOUR  # the rarest reminder, and a margin
_LONGEST_HOLD_MS = MINUTE


class Housekeeping:
    """Closes expired commands, forgets expired challenges, sessions, codes, old events and answers.

    A clock that went ahead by more than 30 days is not believed for a day: what would be closed
    and forgotten meanwhile could not be brought back. What was put off to a time that a wrong
    clock named is brought forward again.
    """

    def __init__(self, database: Database, sessions: SessionService) -> None:
        self._database = database
        self._sessions = sessions
        self._pruned_until = 0  # the id; a start looks through all that is left once more
        self._leapt_at: float | None = None  # monotonic
        self._offset_ms: int | None = None  # of the clock against a monotonic one

    async def close_expired(self) -> None:
        """Do it once."""
        now = now_ms()
        offset, self._offset_ms = self._offset_ms, now - int(time.monotonic() * 1000)
        stepped = offset is None or abs(self._offset_ms - offset) > _STEP_MS
        if stepped:  # what the wrong time has passed over is looked through once more, too
            self._pruned_until = 0

        def unit(db: Connection) -> tuple[int, int, bool]:
            links.void_expired(db, now)
            exchanges.forget_expired(db, now)
            if stepped:
                pushes.bring_forward(db, now=now, latest=now + _LONGEST_PUSH_WAIT_MS)
                commands.release_by(db, latest=now + _LONGEST_HOLD_MS)
            if not self._believes(db, now):
                return 0, self._pruned_until, True
            if not is_behind(now):
                settings.put(db, _CLOCK_SEEN, str(now))
            self._sessions.forget_expired(db, now)
            idempotency.forget(db, before=now - ANSWERS_STAY_MS)
            pruned_until = events.prune(
                db,
                after=self._pruned_until,
                limit=_EVENTS_AT_ONCE,
                before=now - _EVENTS_STAY_MS,
                commands_before=now - _COMMAND_EVENTS_STAY_MS,
                now=now,
            )
            return commands.expire(db, now), pruned_until, False

        expired, self._pruned_until, leapt = await self._database.write(unit)
        if leapt and self._leapt_at is None:
            logger.error("the clock went ahead by more than 30 days: nothing expires for a day")
            self._leapt_at = time.monotonic()
        elif not leapt:
            self._leapt_at = None
        if expired:
            logger.info("commands expired", extra={logs.COUNT: expired})

    def _believes(self, db: Connection, now: int) -> bool:
        waited = 0.0 if self._leapt_at is None else time.monotonic() - self._leapt_at
        return not has_leapt(db, now) or waited > _BELIEVED_AFTER_SECONDS


def has_leapt(db: Connection, now: int) -> bool:
    """Tell whether the clock is more than 30 days ahead of when this server last believed it."""
    return now - int(settings.get(db, _CLOCK_SEEN) or now) > _LEAP_MS
