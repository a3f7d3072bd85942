"""What the demo does by itself: commands that a new owner would send, one after the other."""

from __future__ import annotations

import asyncio
import logging
import plistlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance import logs
from appliance.cli.demo.fleet import Fleet
from appliance.errors import ApplianceError
from appliance.mdm.device import DeviceFacts
from appliance.services import Services
from appliance.services.command_orders import CommandOrder

logger = logging.getLogger(__name__)

_QUERIES = (
    "UDID", "SerialNumber", "DeviceName", "Model", "ModelName", "ProductName", "OSVersion",
    "BuildVersion", "IsSupervised", "BatteryLevel", "DeviceCapacity", "AvailableDeviceCapacity",
    "WiFiMAC",
)  # fmt: skip
_FEW = 8  # devices that a step of the tour goes to
_MOST_AT_ONCE = 200
_HEARTBEAT_SECONDS = 30.0
_PHONES = frozenset({"iOS"})
_MACS = frozenset({"macOS"})
_ALL = frozenset({"iOS", "macOS", "tvOS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of the tour, `pause` seconds after the one before."""

    pause: float
    request_type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    platforms: frozenset[str] = _ALL
    most: int = _FEW


def _profile(identifier: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that install a profile with one payload."""
    inner = {
        "PayloadIdentifier": f"{identifier}.payload",
        "PayloadUUID": f"{identifier}.payload",
        "PayloadVersion": 1,
        **payload,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadIdentifier": identifier,
        "PayloadUUID": identifier,
        "PayloadDisplayName": name,
        "PayloadVersion": 1,
        "PayloadContent": [inner],
    }
    return {"Payload": plistlib.dumps(profile)}


_WIFI = _profile(
    "example.demo.wifi",
    "Wi-Fi HQ",
    {
        "PayloadType": "com.apple.wifi.managed",
        "SSID_STR": "HQ",
        "EncryptionType": "None",
        "AutoJoin": True,
    },
)
_PASSCODE = _profile(
    "example.demo.passcode",
    "Passcode",
    {"PayloadType": "com.apple.mobiledevice.passwordpolicy", "forcePIN": True, "minLength": 6},
)

STEPS = (
    Step(pause=1, request_type="SecurityInfo"),
    Step(pause=1, request_type="ProfileList"),
    Step(pause=4, request_type="InstallProfile", parameters=_WIFI),
    Step(pause=6, request_type="InstalledApplicationList", platforms=_MACS | _PHONES),
    Step(pause=8, request_type="InstallProfile", parameters=_PASSCODE, platforms=_PHONES),
    Step(pause=6, request_type="CertificateList", platforms=_MACS, most=2),
    Step(pause=8, request_type="RemoveProfile", parameters={"Identifier": "example.demo.gone"},
         platforms=_MACS, most=1),
    Step(pause=8, request_type="AvailableOSUpdates", platforms=_MACS, most=4),
    Step(pause=10, request_type="ProfileList"),
)  # fmt: skip


class Tour:
    """Sends commands through the services, as the page does."""

    def __init__(self, services: Services, fleet: Fleet, *, seed: int, speed: float) -> None:
        self._services = services
        self._fleet = fleet
        self._random = random.Random(seed)  # noqa: S311 - for show
        self._speed = speed
        self._udids: list[str] = []
        self._fresh: list[str] = []
        self._locked: set[str] = set()

    def refused(self, udid: str) -> None:
        """Remember a device that said NotNow: its owner unlocks it towards the end."""
        self._locked.add(udid)

    def enrolled(self, udid: str) -> None:
        """Ask a device that has just come who it is, together with others that come now."""
        self._udids.append(udid)
        self._fresh.append(udid)

    async def greet(self) -> None:
        """Ask every device that enrolls what it is, for ever."""
        while True:
            await asyncio.sleep(0.2)
            greeted, self._fresh = self._fresh[:_MOST_AT_ONCE], self._fresh[_MOST_AT_ONCE:]
            if greeted:
                await self._send(greeted, "DeviceInformation", {"Queries": list(_QUERIES)})

    async def go(self) -> None:
        """Send the steps of the tour, unlock what is locked, then keep the page alive."""
        for step in STEPS:
            await self._pause(step.pause)
            for udid in await self._of(step.platforms, step.most):
                await self._send([udid], step.request_type, dict(step.parameters))
        for udid in sorted(self._locked):  # more may say NotNow meanwhile
            await self._fleet.unlock(udid)
        while True:
            await self._pause(_HEARTBEAT_SECONDS)
            await self._send(
                [self._random.choice(self._udids)], "DeviceInformation", {"Queries": list(_QUERIES)}
            )

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    async def _of(self, platforms: frozenset[str], most: int) -> list[str]:
        """Return the first devices that are of one of these platforms."""
        found: list[str] = []
        for udid in self._udids:
            if len(found) == most:
                break
            facts: DeviceFacts = (await self._services.devices.details(udid)).facts
            if facts.platform in platforms:
                found.append(udid)
        return found

    async def _send(self, udids: list[str], request_type: str, parameters: dict[str, Any]) -> None:
        order = CommandOrder(targets=udids, request_type=request_type, parameters=parameters)
        try:
            await self._services.commands.enqueue(order)
        except ApplianceError as error:  # a person at the page may just have erased it
            logger.info("step of the tour passed over", extra={logs.REASON: str(error)})
