"""Housekeeping: what expires is closed, whether or not anybody asks for it."""

from __future__ import annotations

import logging

from appliance import logs
from appliance.services.clock import now_ms
from appliance.store import commands, links
from appliance.store.database import Connection, Database

logger = logging.getLogger(__name__)


class Housekeeping:
    """Closes expired commands and forgets expired challenges."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def close_expired(self) -> None:
        """Do it once."""
        now = now_ms()

        def unit(db: Connection) -> tuple[int, int]:
            return commands.expire(db, now), links.void_expired(db, now)

        expired, _ = await self._database.write(unit)
        if expired:
            logger.info("commands expired", extra={logs.COUNT: expired})
