"""Every week the whole store is looked through: damage that nobody reads is found in time."""

from __future__ import annotations

from appliance.services.clock import DAY, now_ms
from appliance.store import settings
from appliance.store.database import Database

MOST_SECONDS = 3000.0

_SETTING = "integrity_checked"
_EVERY_MS = 7 * DAY
_FIRST_PAUSE_SECONDS = 10 * 60.0  # a start has looked already, and has other things to do
_LOOK_AGAIN_SECONDS = 3600.0


class IntegrityService:
    """Looks for damage while the server works, on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_first = True

    async def weekly(self) -> float:
        """Check the store if that is due; return the seconds until to look again.

        Damage is the store's `trouble` from then on: in the log, `/readyz`, the status and on the
        page. It counts as not checked, so that the next start looks again.
        """
        if self._is_first:
            self._is_first = False
            return _FIRST_PAUSE_SECONDS
        checked = int(await self._database.read(lambda db: settings.get(db, _SETTING)) or 0)
        if not 0 <= now_ms() - checked < _EVERY_MS:  # a clock that was ahead puts nothing off
            await self.check()
        return _LOOK_AGAIN_SECONDS

    async def check(self) -> str:
        """Look through the whole store now; return what is wrong, "" if nothing."""
        damage = await self._database.find_damage(seconds=MOST_SECONDS)
        if not damage:
            now = now_ms()
            await self._database.write(lambda db: settings.put(db, _SETTING, str(now)))
        return damage
