"""Housekeeping: what expires is closed, whether or not anybody asks for it."""

from __future__ import annotations

import logging

from appliance import logs
from appliance.services.accounts import AccountService
from appliance.services.clock import DAY, now_ms
from appliance.store import commands, events, links
from appliance.store.database import Connection, Database

logger = logging.getLogger(__name__)

_EVENTS_STAY_MS = 400 * DAY
_COMMAND_EVENTS_STAY_MS = 2 * DAY
_EVENTS_AT_ONCE = 20_000  # a minute: the writer is not held up, and 150 commands a second fit


class Housekeeping:
    """Closes expired commands, forgets expired challenges, sessions and codes, and old events."""

    def __init__(self, database: Database, accounts: AccountService) -> None:
        self._database = database
        self._accounts = accounts
        self._pruned_until = 0  # the id; a start looks through all that is left once more

    async def close_expired(self) -> None:
        """Do it once."""
        now = now_ms()

        def unit(db: Connection) -> tuple[int, int]:
            self._accounts.forget_expired(db, now)
            links.void_expired(db, now)
            pruned_until = events.prune(
                db,
                after=self._pruned_until,
                limit=_EVENTS_AT_ONCE,
                before=now - _EVENTS_STAY_MS,
                commands_before=now - _COMMAND_EVENTS_STAY_MS,
            )
            return commands.expire(db, now), pruned_until

        expired, self._pruned_until = await self._database.write(unit)
        if expired:
            logger.info("commands expired", extra={logs.COUNT: expired})
