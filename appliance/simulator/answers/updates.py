"""Updates of the operating system: what is offered, downloading, installing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from appliance.simulator import models
from appliance.simulator.answers.command import (
    ALL,
    IOS,
    MAC,
    TV,
    Answer,
    Call,
    Command,
    acknowledged,
    is_of_type,
    utc,
)
from appliance.simulator.answers.queries import battery_level
from appliance.simulator.errors import MDM, Malformed, Refusal
from appliance.simulator.state import DeviceState, Platform, UpdateProgress

_DOWNLOADS = timedelta(minutes=2)
_INSTALLS = timedelta(minutes=2)
_LOW_BATTERY = 0.2
_ACTIONS = (
    "Default",
    "DownloadOnly",
    "InstallASAP",
    "NotifyOnly",
    "InstallLater",
    "InstallForceRestart",
)
_NAMES = {
    Platform.MAC: "macOS",
    Platform.IPHONE: "iOS",
    Platform.IPAD: "iPadOS",
    Platform.APPLE_TV: "tvOS",
}


def settle(state: DeviceState, now: datetime) -> None:
    """Let an update that is due by now be installed."""
    update = state.update
    if update is None or update.install_at is None or now < update.install_at:
        return
    state.os_version, state.build_version = update.version, update.build
    state.update = None


def _offered(state: DeviceState) -> models.System | None:
    silicon = state.mac is None or state.mac.apple_silicon
    newest = models.newest(state.platform, apple_silicon=silicon)
    return None if newest.build == state.build_version else newest


def _product_key(state: DeviceState, system: models.System) -> str:
    if not state.is_mac:
        name = "tvOS" if state.platform is Platform.APPLE_TV else "iOS"
        return f"{name}Update{system.build}"
    if _is_major(state, system):
        return f"MSU_UPDATE_{system.build}_full_{system.version}_major"
    return f"MSU_UPDATE_{system.build}_patch_{system.version}_minor"


def _is_major(state: DeviceState, system: models.System) -> bool:
    return system.version.partition(".")[0] != state.os_version.partition(".")[0]


def _available(call: Call) -> Answer:
    system = _offered(call.state)
    return acknowledged(AvailableOSUpdates=[_listed(call.state, system)] if system else [])


def _listed(state: DeviceState, system: models.System) -> dict[str, Any]:
    size = (9 if _is_major(state, system) else 2) * 1_000_000_000
    entry: dict[str, Any] = {
        "ProductKey": _product_key(state, system),
        "HumanReadableName": f"{_NAMES[state.platform]} {system.version}",
        "ProductName": _NAMES[state.platform],
        "Version": system.version,
        "Build": system.build,
        "DownloadSize": size,
        "InstallSize": size * 2,
        "IsCritical": False,
        "RestartRequired": True,
        "AllowsInstallLater": True,
        "IsSecurityResponse": False,
    }
    if state.is_mac:
        entry |= {
            "HumanReadableNameLocale": "en",
            "MetadataURL": "",
            "AppIdentifiersToClose": [],
            "IsConfigDataUpdate": False,
            "IsFirmwareUpdate": False,
            "IsMajorOSUpdate": _is_major(state, system),
            "RequiresBootstrapToken": bool(state.mac and state.mac.apple_silicon),
        }
    return entry


def _schedule(call: Call) -> Answer:
    updates = call.keys["Updates"]
    if not all(_is_well_formed(wanted) for wanted in updates):
        raise Malformed("each of Updates needs InstallAction and ProductKey or ProductVersion")
    return acknowledged(UpdateResults=[_start(call, wanted) for wanted in updates])


def _is_well_formed(wanted: Any) -> bool:
    return (
        isinstance(wanted, dict)
        and wanted.get("InstallAction") in _ACTIONS
        and bool(wanted.keys() & {"ProductKey", "ProductVersion"})
        and is_of_type(wanted.get("MaxUserDeferrals", 0), int)
    )


def _start(call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
    state, system = call.state, _offered(call.state)
    key = str(wanted.get("ProductKey", ""))
    if system and wanted.get("ProductVersion", system.version) == system.version:
        key = key or _product_key(state, system)
    if system is None or key != _product_key(state, system):
        return _failed(key, "Idle", Refusal(MDM, 12048, "There is no such update."))
    action = "InstallASAP" if wanted["InstallAction"] == "Default" else wanted["InstallAction"]
    battery = battery_level(state, call.now)
    if action.startswith("Install") and battery is not None and battery < _LOW_BATTERY:
        cause = Refusal(MDM, 12061, "There is not enough power to install the update.")
        return _failed(key, "InstallInsufficientPower", cause)
    state.update = UpdateProgress(
        product_key=key,
        version=system.version,
        build=system.build,
        started_at=call.now,
        install_at=_install_at(action, call.now),
        deferrals=wanted.get("MaxUserDeferrals", 0) if action == "InstallLater" else 0,
    )
    status = "Idle" if action == "NotifyOnly" else "Downloading"
    return {"ProductKey": key, "InstallAction": action, "Status": status}


def _failed(key: str, status: str, cause: Refusal) -> dict[str, Any]:
    return {
        "ProductKey": key,
        "InstallAction": "Error",
        "Status": status,
        "ErrorChain": cause.chain,
    }


def _install_at(action: str, now: datetime) -> datetime | None:
    match action:
        case "InstallASAP" | "InstallForceRestart":
            return now + _DOWNLOADS + _INSTALLS
        case "InstallLater":
            return now.replace(hour=2, minute=0, second=0, microsecond=0) + timedelta(days=1)
        case _:
            return None


def _status(call: Call) -> Answer:
    update = call.state.update
    return acknowledged(OSUpdateStatus=[_progress(call, update)] if update else [])


def _progress(call: Call, update: UpdateProgress) -> dict[str, Any]:
    elapsed = max(call.now - update.started_at, timedelta())
    share = min(elapsed / _DOWNLOADS, 1.0)
    at_once = update.install_at and update.install_at - update.started_at <= _DOWNLOADS + _INSTALLS
    status = "Downloading" if share < 1 else "Installing" if at_once else "Idle"
    entry: dict[str, Any] = {
        "ProductKey": update.product_key,
        "IsDownloaded": share == 1,
        "DownloadPercentComplete": round(share, 2),
        "Status": status,
    }
    if call.state.is_mac:
        entry |= {"MaxDeferrals": update.deferrals, "DeferralsRemaining": update.deferrals}
        entry |= {"PastNotifications": []}
        if update.install_at:
            entry["NextScheduledInstall"] = utc(update.install_at)
    return entry


def _scan(call: Call) -> Answer:
    call.mac.scanned_at = call.now
    return acknowledged(ScanInitiated=True)


_RIGHTS_ON = IOS | TV  # a Mac asks for no right
COMMANDS: Final = {
    "AvailableOSUpdates": Command(
        run=_available, on=ALL, right=4096, right_on=_RIGHTS_ON, supervised=IOS | TV
    ),
    "ScheduleOSUpdate": Command(
        run=_schedule,
        on=ALL,
        right=4096,
        right_on=_RIGHTS_ON,
        supervised=ALL,
        needs={"Updates": list},
        unlocked=True,
    ),
    "OSUpdateStatus": Command(run=_status, on=ALL, right=4096, right_on=_RIGHTS_ON, supervised=ALL),
    "ScheduleOSUpdateScan": Command(run=_scan, on=MAC, supervised=MAC, takes={"Force": bool}),
}
