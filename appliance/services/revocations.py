"""The revocation list: signed when it changes or grows old, not for everybody who asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from appliance.services.clock import HOUR, now_ms
from appliance.store import certificates as store
from appliance.store.certificates import Revoked
from appliance.store.database import Connection, Database
from appliance.wire import certificates
from appliance.wire.keys import PrivateKey

_KEPT_MS = HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    der: bytes
    number: int
    made_at: int
    state: tuple[int, int]  # of the revocations, as the store counts them


class RevocationList:
    """Of one authority; whoever asks is a stranger, so a signature must not be theirs to order."""

    def __init__(self, database: Database, certificate: x509.Certificate, key: PrivateKey) -> None:
        self._database = database
        self._certificate = certificate
        self._key = key
        self._kept: _Signed | None = None
        self._signing = asyncio.Lock()

    async def current(self) -> bytes:
        """Return the list, DER: all that is revoked by now, and made within the last hour."""
        now = now_ms()
        state = await self._database.read(store.revocations)
        if (kept := self._fitting(state, now)) is not None:
            return kept
        async with self._signing:
            # Those who waited get what the first of them has made.
            state, revoked = await self._database.read(lambda db: _read(db, now))
            if (kept := self._fitting(state, now)) is not None:
                return kept
            self._kept = await asyncio.to_thread(self._sign, state, revoked, now)
            return self._kept.der

    def _fitting(self, state: tuple[int, int], now: int) -> bytes | None:
        kept = self._kept
        if kept is None or kept.state != state or not 0 <= now - kept.made_at < _KEPT_MS:
            return None
        return kept.der

    def _sign(self, state: tuple[int, int], revoked: list[Revoked], now: int) -> _Signed:
        # RFC 5280 section 5.2.3: it grows, also within a second and with a clock that is set back.
        number = max(now // 1000, 0 if self._kept is None else self._kept.number + 1)
        der = certificates.certificate_revocation_list(
            [(int(entry.serial, 16), entry.revoked_at) for entry in revoked],
            ca_certificate=self._certificate,
            ca_key=self._key,
            number=number,
            now=datetime.fromtimestamp(now / 1000, UTC),
        )
        return _Signed(der=der, number=number, made_at=now, state=state)


def _read(db: Connection, now: int) -> tuple[tuple[int, int], list[Revoked]]:
    return store.revocations(db), store.revoked(db, now)
