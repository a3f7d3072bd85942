"""What the appliance does: everything that pages, programs and devices may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.services.accounts import AccountService
from appliance.services.backups import BackupService
from appliance.services.ca import CertificateAuthority
from appliance.services.checkin import CheckinService
from appliance.services.commands import CommandService
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
from appliance.services.push import PushService
from appliance.services.renewals import RenewalService
from appliance.services.secrets import SecretService
from appliance.services.sessions import SessionService
from appliance.services.status import StatusService
from appliance.services.strangers import Strangers
from appliance.services.tokens import TokenService
from appliance.services.webhooks import WebhookService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One of each, sharing one store."""

    accounts: AccountService
    backups: BackupService
    ca: CertificateAuthority
    checkins: CheckinService
    commands: CommandService
    device_pages: DevicePages
    devices: DeviceService
    enrolling: EnrollingService
    housekeeping: Housekeeping
    integrity: IntegrityService
    live: LiveEvents
    moving: MovingService
    oversized: OversizedMessages
    over_the_air: OverTheAir
    overview: OverviewService
    push: PushService
    renewals: RenewalService
    secrets: SecretService
    sessions: SessionService
    status: StatusService
    strangers: Strangers
    tokens: TokenService
    webhooks: WebhookService
