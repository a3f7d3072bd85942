"""Builds all services on an open data directory, and joins them."""

from __future__ import annotations

from appliance.config import Config
from appliance.services import Services
from appliance.services.accounts import AccountService
from appliance.services.backups import BackupService
from appliance.services.ca import CertificateAuthority
from appliance.services.checkin import CheckinService
from appliance.services.commands import CommandService
from appliance.services.data_directory import DataDirectory, Keys
from appliance.services.device_page import DevicePages
from appliance.services.devices import DeviceService
from appliance.services.enrolling import EnrollingService
from appliance.services.housekeeping import Housekeeping
from appliance.services.integrity import IntegrityService
from appliance.services.live import LiveEvents
from appliance.services.moving import MovingService
from appliance.services.over_the_air import OverTheAir
from appliance.services.oversized import OversizedMessages
from appliance.services.overview import OverviewService
from appliance.services.profiles import Profiles
from appliance.services.push import PushService
from appliance.services.push_certificates import PushCertificates
from appliance.services.renewals import RenewalService
from appliance.services.repeats import Repeats
from appliance.services.secrets import SecretService
from appliance.services.senders import Senders
from appliance.services.sessions import SessionService
from appliance.services.status import StatusService
from appliance.services.strangers import Strangers
from appliance.services.tls import Tls
from appliance.services.tokens import TokenService
from appliance.services.vault import Vault
from appliance.services.webhooks import WebhookService
from appliance.store.database import Database


def build_services(
    config: Config, directory: DataDirectory, keys: Keys, tls: Tls, database: Database
) -> Services:
    """Return one of each, sharing the store.

    Raises:
        ConfigError: a file that the configuration names cannot be used.
    """
    vault = Vault(keys.vault_key)
    repeats = Repeats(vault)
    push_certificates = PushCertificates(database, vault, config.enroll.lab_topic)
    live = LiveEvents(database, most_streams=config.limits.event_streams)
    push = PushService(database, push_certificates, config.push, directory.run, live)
    ca = CertificateAuthority(database, keys, config.scep, config.server.organization)
    backups = BackupService(database, directory, config)
    webhooks = WebhookService(database, Senders(database, config.webhook, vault))
    sessions = SessionService(database, config.auth)
    commands = CommandService(database, vault, repeats, push.wake, live, webhooks)
    status = _status(config, database, push, ca, backups, tls, webhooks)
    profiles = Profiles(config.server, keys, push_certificates, lambda: tls.pair)
    enrolling = EnrollingService(database, config, profiles, push_certificates, repeats)
    renewals = RenewalService(database, config.scep, enrolling, commands, push.wake)
    device_pages = DevicePages(database, push_certificates, renewals)
    return Services(
        accounts=AccountService(database, config.auth, config.server.admin_url),
        backups=backups,
        ca=ca,
        checkins=CheckinService(database, vault, push_certificates, push.wake, webhooks),
        commands=commands,
        device_pages=device_pages,
        devices=DeviceService(database),
        enrolling=enrolling,
        housekeeping=Housekeeping(database, sessions),
        integrity=IntegrityService(database),
        live=live,
        moving=MovingService(database, vault, push_certificates, push.wake),
        oversized=OversizedMessages(database),
        over_the_air=OverTheAir(database, config, profiles, enrolling),
        overview=_overview(config, database, keys, push, ca, backups, tls, status),
        push=push,
        renewals=renewals,
        secrets=SecretService(database, vault, device_pages),
        sessions=sessions,
        status=status,
        strangers=Strangers(database, keys.ca_certificate),
        tokens=TokenService(database),
        webhooks=webhooks,
    )


def _status(
    config: Config,
    database: Database,
    push: PushService,
    ca: CertificateAuthority,
    backups: BackupService,
    tls: Tls,
    webhooks: WebhookService,
) -> StatusService:
    return StatusService(
        database, config.server, push, ca, backups, lambda: tls.not_after, webhooks
    )


def _overview(
    config: Config,
    database: Database,
    keys: Keys,
    push: PushService,
    ca: CertificateAuthority,
    backups: BackupService,
    tls: Tls,
    status: StatusService,
) -> OverviewService:
    return OverviewService(
        database, config, keys, push, ca, backups, status.job_errors, lambda: tls.pair.certificate
    )
