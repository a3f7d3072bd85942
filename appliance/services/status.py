"""Status: the whole of it in one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from appliance import __version__
from appliance.config import ServerConfig
from appliance.errors import Busy
from appliance.services.backups import BackupService
from appliance.services.ca import CaStatus, CertificateAuthority
from appliance.services.clock import DAY, is_behind, now_ms
from appliance.services.housekeeping import has_leapt
from appliance.services.push import PushService, PushStatus
from appliance.services.webhooks import WebhookService
from appliance.store import commands, devices
from appliance.store.database import Database
from appliance.store.overview import identities_ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What an administrator wants to know first; `problems` says what needs a person."""

    version: str
    url: str
    organization: str
    ready: bool
    started_at: datetime
    devices: dict[str, int]
    queue_depth: int
    push: PushStatus
    ca: CaStatus
    tls_not_after: datetime
    database_bytes: int
    last_backup_at: datetime | None
    backup_failed: bool
    problems: list[str] = field(default_factory=list)


class StatusService:
    """Gathers the state of all parts."""

    def __init__(
        self,
        database: Database,
        config: ServerConfig,
        push: PushService,
        ca: CertificateAuthority,
        backups: BackupService,
        tls_not_after: Callable[[], datetime],
        webhooks: WebhookService,
    ) -> None:
        self._database = database
        self._config = config
        self._push = push
        self._ca = ca
        self._backups = backups
        self._tls_not_after = tls_not_after
        self._webhooks = webhooks
        self._started_at = datetime.now(UTC)
        self.job_errors: dict[str, str] = {}

    async def obstacles(self) -> list[str]:
        """Return why devices cannot be served as they should; cheap enough for a probe."""
        reasons = [f"job {name} fails" for name in self.job_errors]
        if self._database.trouble:
            reasons.insert(0, self._database.trouble)
        if self._database.failure.is_set():
            return ["the store has failed", *reasons]
        try:
            await self._database.read(lambda db: db.execute("SELECT 1").fetchone())
        except Busy:
            return ["the store does not answer", *reasons]
        return reasons

    async def _clock_problems(self) -> list[str]:
        now = now_ms()
        if is_behind(now):
            return [
                "the clock is wrong: nobody can enroll and no certificate is made before it is set"
            ]
        if await self._database.read(partial(has_leapt, now=now)):
            return ["the clock went ahead by more than 30 days: nothing expires for a day"]
        return []

    async def _identity_problems(self) -> list[str]:
        now = now_ms()
        ending = await self._database.read(
            lambda db: identities_ending(db, now=now, before=now + 30 * DAY, limit=1)
        )
        if not ending.count:
            return []
        return [
            f"the identities of {ending.count} devices end within 30 days and could not be renewed:"
            " switch them on, or enroll them anew; `appliance device show` says how it stands"
        ]

    async def _webhook_problems(self) -> list[str]:
        return [
            f"webhook {webhook.state.id} is disabled ({webhook.state.problem}): `appliance webhook"
            " test` tries it, `appliance webhook replay` sends what failed"
            for webhook in await self._webhooks.listing()
            if webhook.state.disabled_at is not None
        ]

    async def overview(self) -> Overview:
        """Return the state of everything."""
        now = now_ms()
        push = await self._push.status()
        tls_not_after = self._tls_not_after()
        problems = [f"job {name} failed: {error}" for name, error in self.job_errors.items()]
        problems += await self._clock_problems()
        if self._database.trouble:
            problems.append(self._database.trouble)
        if not push.certificate.configured:
            problems.append("there is no push certificate: devices cannot be woken")
        elif push.certificate.days_left is not None and push.certificate.days_left < 30:
            problems.append(f"the push certificate ends in {push.certificate.days_left} days")
        if push.last_error:
            problems.append(push.last_error)
        if (tls_not_after - datetime.now(UTC)).days < 14:
            problems.append("the server certificate ends within 14 days")
        problems += await self._identity_problems()
        problems += await self._webhook_problems()
        backups = self._backups.state()
        if backups.error:
            problems.append(f"the last backup failed: {backups.error}")
        elif not backups.has_key:
            problems.append("there is no key for backups; `appliance backup key` makes one")
        return Overview(
            version=__version__,
            url=self._config.base_url,
            organization=self._config.organization,
            ready=not await self.obstacles(),
            started_at=self._started_at,
            devices=await self._database.read(devices.states),
            queue_depth=await self._database.read(lambda db: commands.total_backlog(db, now)),
            push=push,
            ca=await self._ca.status(),
            tls_not_after=tls_not_after,
            database_bytes=self._database.size_bytes(),
            last_backup_at=None if backups.last is None else backups.last.created_at,
            backup_failed=bool(backups.error),
            problems=problems,
        )
