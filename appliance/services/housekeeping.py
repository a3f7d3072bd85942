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


class Housekeeping:
    """Closes expired commands, forgets expired challenges, sessions and codes, and old events."""

    def __init__(self, database: Database, accounts: AccountService) -> None:
        self._database = database
        self._accounts = accounts

    async def close_expired(self) -> None:
        """Do it once."""
        now = now_ms()

        def unit(db: Connection) -> tuple[int, int]:
            self._accounts.forget_expired(db, now)
            events.prune(db, now - _EVENTS_STAY_MS)
            return commands.expire(db, now), links.void_expired(db, now)

        expired, _ = await self._database.write(unit)
        if expired:
            logger.info("commands expired", extra={logs.COUNT: expired})
