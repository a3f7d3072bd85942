"""Devices with a past, so that pages have something to show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.simulator.answers import answer
from appliance.simulator.apns import ApnsAnswer
from appliance.simulator.casting import make_state
from appliance.simulator.state import DeviceState
from appliance.store.links import reference
from tests.device.device import Channel, Device
from tests.device.push import Woken

_QUERIES = """DeviceName OSVersion BatteryLevel DeviceCapacity AvailableDeviceCapacity WiFiMAC
IsSupervised IsActivationLockEnabled"""
_QUESTIONS: dict[str, dict[str, Any]] = {
    "SecurityInfo": {},
    "ProfileList": {},
    "InstalledApplicationList": {},
    "CertificateList": {},
    "AvailableOSUpdates": {},
    "DeviceInformation": {"Queries": _QUERIES.split()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where the pages are that show most."""

    link: str  # the code of an enrollment link
    link_page: str  # how the board's page of it is called
    withdrawn: str  # one that counts no more
    withdrawn_page: str
    mac: str  # has answered everything, and holds back an erasure
    silent: str  # its push token is refused
    user: str  # a user channel of the Mac
    answered: str  # command
    failed: str
    held: str


async def furnish(woken: Woken) -> Office:
    """Enroll devices and let them answer, as simulated ones do."""
    api = woken.api
    link, withdrawn = await api.new_link(uses=9), await api.new_link()
    await api.delete(f"/api/v1/enrollment-links/{withdrawn.code}")
    mac, silent = Device(api.session), await api.enroll()
    await mac.enroll_from_profile(await api.download(link))
    await api.download(link)
    state = make_state(5, 0, "demo")
    answered = [await api.queue(mac.id, name, parameters=keys) for name, keys in _QUESTIONS.items()]
    await _answer_all(mac, state)
    failed = await api.queue(mac.id, "RestartDevice")
    refused = (await mac.idle()).command
    assert refused is not None
    await mac.error(refused)
    user = mac.user()
    await user.token_update()
    await api.queue(mac.id, "ScheduleOSUpdateScan")
    later = (await mac.idle()).command
    assert later is not None
    await mac.not_now(later)
    woken.apns.script(silent.token, ApnsAnswer(status=410, reason="Unregistered"))
    await api.queue(silent.id)
    held = await api.queue(mac.id, "DeviceLock", undo_seconds=60, **_confirmed(mac))
    return Office(
        link=link.code, link_page=reference(link.code),
        withdrawn=withdrawn.code, withdrawn_page=reference(withdrawn.code),
        mac=mac.id, silent=silent.id,
        user=f"{mac.id}:{user.identification['UserID']}",
        answered=answered[-1], failed=failed, held=held,
    )  # fmt: skip


def _confirmed(device: Device) -> dict[str, Any]:
    return {"confirm": {"serial_number": device.serial_number}, "reason": "lost on the train"}


async def _answer_all(channel: Channel, state: DeviceState) -> None:
    command = (await channel.idle()).command
    while command is not None:
        reply = answer(state, dict(command.payload), datetime.now(UTC))
        command = (await channel.report(reply.status, command.uuid, **reply.body)).command
