"""The overview: what the board shows of all devices together, and what needs a person."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509

from appliance.config import Config
from appliance.services.activity import Line, lines
from appliance.services.backups import BackupService, BackupState
from appliance.services.ca import CertificateAuthority
from appliance.services.clock import DAY, HOUR, is_behind, now_ms
from appliance.services.data_directory import Keys
from appliance.services.housekeeping import has_leapt
from appliance.services.push import PushService, PushStatus
from appliance.store import commands, device_list, overview
from appliance.store.database import Connection, Database
from appliance.store.device_list import Found, Search
from appliance.store.overview import Affected, Concern, Identity
from appliance.wire import certificates

_EXAMPLES = 3
_FEED = 12
_ENDS_SOON_DAYS = 30
_CA_ENDS_SOON_DAYS = 365
_TLS_ENDS_SOON_DAYS = 21  # the built-in one is renewed at 30: then something is the matter
_PUT_OFF_MS = DAY
_FAILURES_STAY_MS = 3 * DAY
_LEAST_FREE_BYTES = 1 << 30
_IDENTITIES_SHOWN = 50


class NeedKind(StrEnum):
    """What may need a person, the most urgent first."""

    STORE_DAMAGED = "store_damaged"
    STORE_TROUBLE = "store_trouble"
    CLOCK_BEHIND = "clock_behind"
    CLOCK_LEAPT = "clock_leapt"
    JOB_FAILS = "job_fails"
    DISK_FULL = "disk_full"
    BACKUP_FAILED = "backup_failed"
    COMMANDS_HELD = "commands_held"
    PUSH_CERTIFICATE_MISSING = "push_certificate_missing"
    PUSH_CERTIFICATE_REFUSED = "push_certificate_refused"
    PUSH_CERTIFICATE_ENDS = "push_certificate_ends"
    TLS_ENDS = "tls_ends"
    CA_ENDS = "ca_ends"
    BACKUP_KEY_MISSING = "backup_key_missing"
    IDENTITIES_END = "identities_end"
    PUSH_REFUSED = "push_refused"
    COMMANDS_FAILED = "commands_failed"
    SILENT = "silent"
    COMMANDS_PUT_OFF = "commands_put_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that needs a person: of a number of devices, or by a day, or with a reason."""

    kind: NeedKind
    count: int = 0
    devices: tuple[Affected, ...] = ()  # the first few of `count`
    days_left: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateState:
    """A certificate of the server's own; fingerprint is SHA-256, "AB:CD:…"."""

    subject: str
    not_after: datetime
    days_left: int
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The first page. `devices` counts by state, `silent` and `unheard` among them."""

    devices: dict[str, int]
    needs: list[Need]
    push: PushStatus
    last_push: datetime | None
    queue_depth: int
    tls: CertificateState
    ca: CertificateState
    backup: BackupState
    database_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    feed: list[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Every certificate that a person may have to think of."""

    push: PushStatus
    tls: CertificateState
    tls_is_own: bool  # files of the administrator's, so nothing renews them here
    root: CertificateState
    ca: CertificateState
    valid: int
    revoked: int
    identities: list[Identity]  # the next to end first


class OverviewService:
    """Gathers for people what `StatusService` gathers for programs, and more."""

    def __init__(
        self,
        database: Database,
        config: Config,
        keys: Keys,
        push: PushService,
        ca: CertificateAuthority,
        backups: BackupService,
        job_errors: Mapping[str, str],
        tls: Callable[[], x509.Certificate],
    ) -> None:
        self._database = database
        self._config = config
        self._keys = keys
        self._push = push
        self._ca = ca
        self._backups = backups
        self._job_errors = job_errors
        self._tls = tls

    async def home(self) -> Home:
        """Return the first page."""
        now = now_ms()
        silent_before = self._silent_before(now)

        def unit(db: Connection) -> tuple[dict[str, int], list[Need], datetime | None, int]:
            return (
                overview.states(db, silent_before=silent_before),
                _device_needs(db, now, silent_before),
                overview.last_push(db),
                commands.total_backlog(db, now),
            )

        devices, device_needs, last_push, queue_depth = await self._database.read(unit)
        push = await self._push.status()
        tls, ca = certificate_state(self._tls()), certificate_state(self._keys.ca_certificate)
        disk = shutil.disk_usage(self._config.data)
        backup = self._backups.state()
        needs = [
            *self._trouble(),
            *(Need(kind=NeedKind.JOB_FAILS, detail=name) for name in self._job_errors),
            *_server_needs(push, tls, ca, disk.free),
            *_backup_needs(backup),
            *device_needs,
        ]
        order = list(NeedKind)
        return Home(
            devices=devices,
            needs=sorted(needs, key=lambda need: order.index(need.kind)),
            push=push,
            last_push=last_push,
            queue_depth=queue_depth,
            tls=tls,
            ca=ca,
            backup=backup,
            database_bytes=self._database.size_bytes(),
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            feed=(await self.activity(None, None, _FEED))[0],
        )

    async def devices(
        self, *, query: str | None, state: str | None, platform: str | None, after: str | None,
        limit: int,
    ) -> Found:  # fmt: skip
        """Return a page of devices by name, behind the one with the ID `after`."""
        now = now_ms()
        search = Search(
            query=query, state=state, platform=platform,
            silent_before=self._silent_before(now), now=now,
        )  # fmt: skip
        return await self._database.read(
            lambda db: device_list.find(db, search, after=after, limit=limit)
        )

    async def certificates(self) -> Certificates:
        """Return every certificate that matters."""
        ca = await self._ca.status()
        return Certificates(
            push=await self._push.status(),
            tls=certificate_state(self._tls()),
            tls_is_own=bool(self._config.server.tls_certificate),
            root=certificate_state(self._keys.root_certificate),
            ca=certificate_state(self._keys.ca_certificate),
            valid=ca.valid,
            revoked=ca.revoked,
            identities=await self._database.read(
                lambda db: overview.identities(db, limit=_IDENTITIES_SHOWN)
            ),
        )

    async def activity(
        self, view: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Line], str | None]:
        """Return what happened, newest first, and the cursor of the next page.

        Args:
            view: one of `store.activity.VIEWS`, None for everything.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        return await self._database.read(
            lambda db: lines(db, view=view, cursor=cursor, limit=limit)
        )

    def _trouble(self) -> list[Need]:
        trouble = self._database.trouble
        damaged = self._database.is_damaged
        kind = NeedKind.STORE_DAMAGED if damaged else NeedKind.STORE_TROUBLE
        return [Need(kind=kind, detail=trouble)] if trouble else []

    def _silent_before(self, now: int) -> int:
        return now - self._config.mdm.silent_after_hours * HOUR


def certificate_state(certificate: x509.Certificate) -> CertificateState:
    """Return what people ask of a certificate."""
    return CertificateState(
        subject=certificate.subject.rfc4514_string(),
        not_after=certificate.not_valid_after_utc,
        days_left=(certificate.not_valid_after_utc - datetime.now(UTC)).days,
        fingerprint=certificates.shown_fingerprint(certificate),
    )


def _server_needs(
    push: PushStatus, tls: CertificateState, ca: CertificateState, disk_free: int
) -> list[Need]:
    needs = []
    if not push.certificate.configured:
        needs.append(Need(kind=NeedKind.PUSH_CERTIFICATE_MISSING))
    elif push.last_error:
        needs.append(Need(kind=NeedKind.PUSH_CERTIFICATE_REFUSED, detail=push.last_error))
    for kind, days, soon in (
        (NeedKind.PUSH_CERTIFICATE_ENDS, push.certificate.days_left, _ENDS_SOON_DAYS),
        (NeedKind.TLS_ENDS, tls.days_left, _TLS_ENDS_SOON_DAYS),
        (NeedKind.CA_ENDS, ca.days_left, _CA_ENDS_SOON_DAYS),
    ):
        if days is not None and days <= soon:
            needs.append(Need(kind=kind, days_left=days))
    if disk_free < _LEAST_FREE_BYTES:
        needs.append(Need(kind=NeedKind.DISK_FULL))
    return needs


def _backup_needs(backup: BackupState) -> list[Need]:
    if not backup.has_key:
        return [Need(kind=NeedKind.BACKUP_KEY_MISSING)]
    return [Need(kind=NeedKind.BACKUP_FAILED, detail=backup.error)] if backup.error else []


def _device_needs(db: Connection, now: int, silent_before: int) -> list[Need]:
    ends_before = now + _ENDS_SOON_DAYS * DAY
    since, before = now - _FAILURES_STAY_MS, now - _PUT_OFF_MS
    concerns: dict[NeedKind, Concern] = {
        NeedKind.COMMANDS_HELD: overview.commands_held(db, now=now, limit=_EXAMPLES),
        NeedKind.IDENTITIES_END: overview.identities_ending(
            db, now=now, before=ends_before, limit=_EXAMPLES
        ),
        NeedKind.PUSH_REFUSED: overview.push_refused(db, limit=_EXAMPLES),
        NeedKind.COMMANDS_FAILED: overview.commands_failed(db, since=since, limit=_EXAMPLES),
        NeedKind.SILENT: overview.silent(db, before=silent_before, limit=_EXAMPLES),
        NeedKind.COMMANDS_PUT_OFF: overview.commands_put_off(db, before=before, limit=_EXAMPLES),
    }
    clock = []
    if is_behind(now):
        clock.append(Need(kind=NeedKind.CLOCK_BEHIND))
    elif has_leapt(db, now):
        clock.append(Need(kind=NeedKind.CLOCK_LEAPT))
    return clock + [
        Need(kind=kind, count=concern.count, devices=concern.devices)
        for kind, concern in concerns.items()
        if concern.count
    ]
