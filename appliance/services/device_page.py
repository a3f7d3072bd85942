"""All that a person sees of one device or command, in one read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from appliance.errors import NotFound
from appliance.mdm.device import DeviceFacts
from appliance.services.clock import now_ms
from appliance.services.push_certificates import PushCertificates
from appliance.services.renewals import Renewal, RenewalService
from appliance.services.silence import Finding, explain
from appliance.store import answers, command_records, devices, enrollments, events, payloads
from appliance.store.answers import LastAnswer, PushState
from appliance.store.command_records import CommandRecord
from appliance.store.database import Connection, Database
from appliance.store.devices import Device, DeviceDetails
from appliance.store.events import Event
from appliance.store.payloads import Payload

LISTS = ("ProfileList", "InstalledApplicationList", "CertificateList", "AvailableOSUpdates")

_NEWEST = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOverview:
    """One channel with what its page shows; `facts` are those of the device it belongs to."""

    details: DeviceDetails
    facts: DeviceFacts
    parent: Device | None
    users: list[Device]
    escrowed: Mapping[str, datetime | None]
    lists: Mapping[str, LastAnswer]
    history: list[CommandRecord]  # newest first, without the answers
    renewal: Renewal | None  # of its identity, if it has one
    is_awaited: bool  # an answer is: something was sent, or may be handed out
    silence: list[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCommand:
    """One command of one channel, as it was sent and answered."""

    record: CommandRecord
    device: Device
    payload: Payload  # sealed or empty where it holds secrets


class DevicePages:
    """Reads for the pages of a device and of a command."""

    def __init__(
        self,
        database: Database,
        push_certificates: PushCertificates,
        renewals: RenewalService,
    ) -> None:
        self._database = database
        self._push_certificates = push_certificates
        self._renewals = renewals

    async def overview(self, name: str) -> DeviceOverview:
        """Return one channel, by enrollment ID or serial number.

        Raises:
            NotFound: there is no such channel.
        """
        now = now_ms()

        def unit(db: Connection) -> tuple[DeviceOverview, PushState | None, Event | None]:
            enrollment_id = devices.named(db, name)
            renewal = self._renewals.look(db, enrollment_id, now)
            overview = _overview(db, enrollment_id, now, renewal)
            device_id = overview.details.device.parent_id or enrollment_id
            return (
                overview,
                answers.push_state(db, enrollment_id),
                events.last(db, events.TOO_LARGE, device_id),
            )

        found, push, too_large = await self._database.read(unit)
        moment = datetime.fromtimestamp(now / 1000, UTC)
        certificate = await self._push_certificates.status()
        silence = explain(found.details, push, certificate, found.history, too_large, moment)
        is_awaited = any(_is_awaited(record, moment) for record in found.history)
        return replace(found, silence=silence, is_awaited=is_awaited)

    async def target(self, name: str) -> tuple[Device, DeviceFacts]:
        """Return one channel, and what is known of its device.

        Raises:
            NotFound: there is no such channel.
        """

        def unit(db: Connection) -> tuple[Device, DeviceFacts]:
            device = _device(db, devices.named(db, name))
            return device, devices.facts(db, device.parent_id or device.id) or DeviceFacts()

        return await self._database.read(unit)

    async def command(self, uuid: str) -> list[SentCommand]:
        """Return a command, once for each channel that it was queued for; answers may be sealed.

        Raises:
            NotFound: there never was such a command.
        """
        now = now_ms()

        def unit(db: Connection) -> list[SentCommand]:
            return [
                SentCommand(
                    record=record,
                    device=_device(db, record.target),
                    payload=payloads.find(db, uuid, record.target) or _NOTHING,
                )
                for record in command_records.find(db, uuid, now)
            ]

        found = await self._database.read(unit)
        if not found:
            raise NotFound("command", uuid)
        return found


_NOTHING = Payload(body=b"", sealed=True)


def _is_awaited(record: CommandRecord, now: datetime) -> bool:
    return record.finished_at is None and not record.is_held(now)


def _overview(
    db: Connection, enrollment_id: str, now: int, renewal: Renewal | None
) -> DeviceOverview:
    details = devices.details(db, enrollment_id)
    if details is None:
        raise NotFound("device", enrollment_id)
    parent_id = details.device.parent_id
    channels = enrollments.channels(db, enrollment_id) if parent_id is None else []
    found = answers.last(db, enrollment_id, LISTS)
    return DeviceOverview(
        details=details,
        facts=devices.facts(db, parent_id or enrollment_id) or DeviceFacts(),
        parent=None if parent_id is None else devices.get(db, parent_id),
        users=[_device(db, channel) for channel in channels if channel != enrollment_id],
        escrowed=answers.escrowed(db, enrollment_id),
        lists={answer.request_type: answer for answer in found},
        history=command_records.newest(db, enrollment_id, limit=_NEWEST, now=now),
        renewal=renewal,
        is_awaited=False,
        silence=[],
    )


def _device(db: Connection, enrollment_id: str) -> Device:
    device = devices.get(db, enrollment_id)
    if device is None:
        raise NotFound("device", enrollment_id)
    return device
