"""Messages of devices that are larger than the server takes: a device repeats them for ever."""

from __future__ import annotations

import logging

from appliance import logs
from appliance.errors import Busy
from appliance.services.clock import HOUR, now_ms
from appliance.store import certificates, enrollments, events
from appliance.store.database import Connection, Database

logger = logging.getLogger(__name__)

_NOTED_EVERY_MS = HOUR


class OversizedMessages:
    """Tells people of them. The queue of the device waits until the limit is raised.

    Nobody has read the body, so its signature is not checked and whose it is, is a claim: of
    somebody who has the certificate, which is not secret but shown to nobody. Nothing follows from
    it but a line of the record. To go on with the queue, the answer would have to be thrown away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, certificate_sha256: bytes, *, limit: str, kib: int) -> None:
        """Record it, at most once an hour for each device.

        Args:
            limit: the setting that is to be raised; it is `kib` now.
        """
        now = now_ms()

        def device_to_note(db: Connection) -> str | None:
            issued = certificates.by_sha256(db, certificate_sha256)
            if issued is None or issued.enrollment_id is None:
                return None
            known = enrollments.known(db, issued.enrollment_id)
            if known is None or known.blocked or not known.is_current(certificate_sha256):
                return None
            since = now - _NOTED_EVERY_MS
            is_old = events.happened(db, events.TOO_LARGE, since=since, enrollment_id=known.id)
            return None if is_old else known.id

        def unit(db: Connection) -> str | None:
            device = device_to_note(db)
            if device is not None:
                data = {
                    "limit": limit, "kib": kib,
                    "fix": f"set {limit} higher in appliance.toml and start the server again",
                }  # fmt: skip
                events.add(db, events.TOO_LARGE, now, enrollment_id=device, data=data)
            return device

        try:
            if await self._database.read(device_to_note) is None:  # nearly always; costs no write
                return
            device = await self._database.write(unit)
        except Busy:  # it comes again
            return
        if device is not None:
            fields = {logs.ENROLLMENT_ID: device, logs.REASON: f"{limit} is {kib}"}
            logger.warning("a message of a device is too large", extra=fields)
