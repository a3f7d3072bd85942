"""The push certificate: imported, checked, its key sealed; its topic binds every device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from appliance.errors import Conflict, InvalidRequest
from appliance.services.clock import DAY, now_ms
from appliance.services.vault import Vault
from appliance.store import enrollments, events, push_certificate
from appliance.store.database import Connection, Database, from_ms
from appliance.store.push_certificate import StoredPushCertificate
from appliance.wire import certificates
from appliance.wire.certificates import KeyPair

_OWNER = "push_certificate"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PushPair:
    """A push certificate ready for use, both in PEM."""

    topic: str
    certificate: bytes
    key: bytes
    not_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushCertificateStatus:
    """What may be shown of the push certificate."""

    configured: bool
    topic: str | None
    not_after: datetime | None
    days_left: int | None
    account: str
    imported_at: datetime | None


class PushCertificates:
    """Keeps the push certificate, and the topic that devices enroll with."""

    def __init__(self, database: Database, vault: Vault, lab_topic: str) -> None:
        self._database = database
        self._vault = vault
        self._lab_topic = lab_topic
        self._topic: str | None = None

    async def topic(self) -> str | None:
        """Return the topic of new enrollments; None: nobody can enroll yet."""
        if self._topic is None:
            stored = await self._database.read(push_certificate.get)
            self._topic = stored.topic if stored is not None else self._lab_topic or None
        return self._topic

    async def pair(self) -> PushPair | None:
        """Return certificate and key, None before the first import."""
        stored = await self._database.read(push_certificate.get)
        if stored is None:
            return None
        return PushPair(
            topic=stored.topic,
            certificate=stored.certificate.encode(),
            key=self._vault.open("push_key", _OWNER, stored.sealed_key),
            not_after=from_ms(stored.not_after),
        )

    async def status(self) -> PushCertificateStatus:
        """Return what may be shown."""
        stored = await self._database.read(push_certificate.get)
        if stored is None:
            return PushCertificateStatus(
                configured=False, topic=self._lab_topic or None, not_after=None, days_left=None,
                account="", imported_at=None,
            )  # fmt: skip
        return PushCertificateStatus(
            configured=True,
            topic=stored.topic,
            not_after=from_ms(stored.not_after),
            days_left=(stored.not_after - now_ms()) // DAY,
            account=stored.account,
            imported_at=from_ms(stored.imported_at),
        )

    async def store(
        self,
        pair: KeyPair,
        *,
        replace_topic: str | None,
        account: str | None,
    ) -> None:
        """Check and keep a push certificate.

        Args:
            account: the Apple Account that renews it; None: the one noted with this topic stays.

        Raises:
            InvalidRequest: it has no topic, is expired, or its key is another one's.
            Conflict: it has another topic than the enrolled devices listen to.
        """
        now = now_ms()
        stored = self._sealed(pair, account or "", now)
        topic = stored.topic

        def unit(db: Connection) -> None:
            orphans = enrollments.count_other_topics(db, topic)
            if orphans and replace_topic != topic:
                raise _topic_conflict(topic, orphans)
            push_certificate.put(db, _renewing(db, stored) if account is None else stored)
            events.add(db, "push_certificate.imported", now, data={"topic": topic})

        await self._database.write(unit)
        self._topic = topic

    def _sealed(self, pair: KeyPair, account: str, now: int) -> StoredPushCertificate:
        topic = certificates.push_topic(pair.certificate)
        not_after = int(pair.certificate.not_valid_after_utc.timestamp() * 1000)
        if not_after <= now:
            raise InvalidRequest(
                "the push certificate has expired",
                code="push_certificate.expired",
                fix="renew it at identity.apple.com with the Apple Account that made it",
            )
        return StoredPushCertificate(
            topic=topic,
            certificate=certificates.certificate_pem(pair.certificate, *pair.chain).decode(),
            sealed_key=self._vault.seal("push_key", _OWNER, certificates.key_pem(pair.key)),
            not_after=not_after,
            account=account,
            imported_at=now,
        )


def _renewing(db: Connection, stored: StoredPushCertificate) -> StoredPushCertificate:
    """Return it with the account of the one that it renews; another topic is another account's."""
    former = push_certificate.get(db)
    if former is None or former.topic != stored.topic:
        return stored
    return replace(stored, account=former.account)


def _topic_conflict(topic: str, orphans: int) -> Conflict:
    return Conflict(
        f"{orphans} enrolled device(s) listen to another topic than {topic}",
        code="push_certificate.topic_changed",
        why="a certificate with a new topic cannot wake them: each would have to enroll again",
        fix="choose Renew, not Create, at identity.apple.com; to replace it all the same, "
        f"name the new topic by replace_topic, on the command line --replace-topic {topic}",
    )
