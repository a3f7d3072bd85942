"""Devices with an identity of ours that the store does not know: a restore went back before it."""

from __future__ import annotations

import logging

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from appliance import logs
from appliance.errors import Busy
from appliance.services.clock import DAY, now_ms
from appliance.store import certificates, events
from appliance.store.database import Connection, Database
from appliance.wire.cms import Signer

logger = logging.getLogger(__name__)


class Strangers:
    """Tells people of them; they stay refused, as any certificate without a row is."""

    def __init__(self, database: Database, ca_certificate: x509.Certificate) -> None:
        self._database = database
        self._ca_certificate = ca_certificate

    async def note(self, signer: Signer, enrollment_id: str) -> None:
        """Record, once a day, a refused device whose certificate our authority has signed."""
        try:
            signer.certificate.verify_directly_issued_by(self._ca_certificate)
        except (InvalidSignature, TypeError, ValueError):
            return
        now, kind = now_ms(), "device.unknown"

        def is_old_news(db: Connection) -> bool:
            return certificates.by_sha256(db, signer.sha256) is not None or events.happened(
                db, kind, since=now - DAY, enrollment_id=enrollment_id
            )

        try:
            if await self._database.read(is_old_news):
                return
            await self._database.write(
                lambda db: events.add(
                    db, kind, now, enrollment_id=enrollment_id, data={"id": enrollment_id}
                )
            )
        except Busy:  # it comes again; what it is told now does not depend on this
            return
        logger.warning("unknown device", extra={logs.ENROLLMENT_ID: enrollment_id})
