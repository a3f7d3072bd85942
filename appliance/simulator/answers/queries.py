"""What DeviceInformation may be asked: where each query exists, its right, and its value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from appliance.simulator.answers.command import ALL, IOS, MAC, TV, utc
from appliance.simulator.state import Cellular, DeviceState, Mac, Platform

Value = Callable[[DeviceState, datetime], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """`value` gives None for what this very device does not have: it is left out then."""

    on: frozenset[Platform]
    right: int  # AccessRights bit, 0 for none
    value: Value
    shared: bool = False  # Shared iPad only


def battery_level(state: DeviceState, now: datetime) -> float | None:
    """Return 0.0 to 1.0: four percent an hour from the first look on, and charged when empty."""
    if state.battery is None:
        return None
    if state.battery_since is None:
        state.battery_since = now
    hours = max((now - state.battery_since).total_seconds() / 3600, 0.0)
    fallen = (hours * 0.04) % max(state.battery - 0.02, 0.01)
    return round(state.battery - fallen, 2)


def stable(state: DeviceState, purpose: str, length: int = 8) -> str:
    """Return hex digits that are always the same for this device and purpose."""
    digest = hashlib.sha256(f"{state.serial_number}/{purpose}".encode()).hexdigest()
    return digest[:length].upper()


def has_lights_out(state: DeviceState) -> bool:
    """Whether a Mac can be switched on from afar; among desktop Macs the minis can."""
    return state.model_name == "Mac mini"


def setting(state: DeviceState, item: str, default: Any) -> Any:
    """Return what the Settings command last set, else `default`."""
    return (state.settings or {}).get(item, default)


def _always(value: Any) -> Value:
    return lambda state, now: value


def _changed(item: str, default: Any) -> Value:
    return lambda state, now: setting(state, item, default)


def _sim(read: Callable[[Cellular], Any]) -> Value:
    return lambda state, now: read(state.cellular) if state.cellular else None


def _mac(read: Callable[[Mac], Any]) -> Value:
    return lambda state, now: read(state.mac) if state.mac else None


def _local_host_name(state: DeviceState) -> str:
    return "".join(one if one.isalnum() and one.isascii() else "-" for one in state.device_name)


def _software_updates(state: DeviceState, now: datetime) -> dict[str, Any]:
    scanned = (state.mac and state.mac.scanned_at) or now - timedelta(hours=7)
    return {
        "CatalogURL": "",
        "IsDefaultCatalog": True,
        "PreviousScanDate": utc(scanned),
        "PreviousScanResult": "0",
        "PerformPeriodicCheck": True,
        "AutoCheckEnabled": True,
        "BackgroundDownloadEnabled": True,
        "AutomaticAppInstallationEnabled": True,
        "AutomaticOSInstallationEnabled": False,
        "AutomaticSecurityUpdatesEnabled": True,
    }


def _subscriptions(sim: Cellular) -> list[dict[str, Any]]:
    return [
        {
            "Slot": "CTSubscriptionSlotOne",
            "Label": "Primary",
            "LabelID": sim.iccid,
            "IMEI": sim.imei,
            "MEID": sim.meid,
            "ICCID": sim.iccid,
            "EID": sim.eid,
            "PhoneNumber": sim.phone_number,
            "CurrentCarrierNetwork": sim.carrier,
            "SubscriberCarrierNetwork": sim.carrier,
            "CarrierSettingsVersion": "64.0",
            "CurrentMCC": sim.mcc,
            "CurrentMNC": sim.mnc,
            "IsDataPreferred": True,
            "IsVoicePreferred": True,
            "IsRoaming": False,
        }
    ]


def _accessibility(state: DeviceState, now: datetime) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "BoldTextEnabled": False,
        "IncreaseContrastEnabled": False,
        "ReduceMotionEnabled": False,
        "ReduceTransparencyEnabled": False,
        "TextSize": 4,
        "TouchAccommodationsEnabled": False,
        "VoiceOverEnabled": False,
        "ZoomEnabled": False,
        "GrayscaleEnabled": False,
    }
    return {**defaults, **setting(state, "AccessibilitySettings", {})}


def _shared_configuration(key: str, default: Any) -> Value:
    return lambda state, now: setting(state, "SharedDeviceConfiguration", {}).get(key, default)


def _organization(state: DeviceState, now: datetime) -> dict[str, str] | None:
    if state.organization is None:
        return None
    # The short name can be set, but is never told.
    return {key: value for key, value in state.organization.items() if "Short" not in key}


def _last_backup(state: DeviceState, now: datetime) -> datetime:
    return utc(now).replace(hour=3, minute=14, second=0) - timedelta(days=1)


def _auto_admins(state: DeviceState, now: datetime) -> list[dict[str, str]]:
    created = (user for user in state.users if user.created_by_management)
    return [{"GUID": user.guid, "shortName": user.short_name} for user in created]


def _managed_users(state: DeviceState, now: datetime) -> list[str]:
    return [state.console_user.guid] if state.console_user else []


_OPTIONS = {"ActivationLockAllowedWhileSupervised": False}
_INFORMATION, _NETWORK, _APPS = 16, 32, 4096

_GENERAL: Final[dict[str, Query]] = {
    "UDID": Query(ALL, 0, lambda s, n: s.udid),
    "OrganizationInfo": Query(ALL, 0, _organization),
    "MDMOptions": Query(ALL, 0, lambda s, n: _OPTIONS | (s.options or {})),
    "LastCloudBackupDate": Query(IOS, 0, _last_backup),
    "AwaitingConfiguration": Query(ALL, 0, lambda s, n: s.awaiting_configuration),
    "SoftwareUpdateDeviceID": Query(IOS | MAC, 0, lambda s, n: s.product_name),
    "AccessibilitySettings": Query(IOS, 0, _accessibility),
    "iTunesStoreAccountIsActive": Query(ALL, _APPS, lambda s, n: not s.ade),
    "iTunesStoreAccountHash": Query(
        ALL, _APPS, lambda s, n: None if s.ade else stable(s, "store", 28)
    ),
    "DeviceName": Query(ALL, _INFORMATION, lambda s, n: s.device_name),
    "OSVersion": Query(ALL, _INFORMATION, lambda s, n: s.os_version),
    "BuildVersion": Query(ALL, _INFORMATION, lambda s, n: s.build_version),
    "SupplementalBuildVersion": Query(ALL, _INFORMATION, lambda s, n: s.build_version),
    "SupplementalOSVersionExtra": Query(ALL, _INFORMATION, _always("")),
    "ModelName": Query(ALL, _INFORMATION, lambda s, n: s.model_name),
    "Model": Query(ALL, _INFORMATION, lambda s, n: s.product_name if s.mac else s.model),
    "ModelNumber": Query(ALL, _INFORMATION, lambda s, n: s.model),
    "ProductName": Query(ALL, _INFORMATION, lambda s, n: s.product_name),
    "SerialNumber": Query(ALL, _INFORMATION, lambda s, n: s.serial_number),
    "DeviceCapacity": Query(IOS | MAC, _INFORMATION, lambda s, n: s.capacity),
    "AvailableDeviceCapacity": Query(
        IOS | MAC, _INFORMATION, lambda s, n: round(s.capacity - s.used, 2)
    ),
    "BatteryLevel": Query(IOS | MAC, _INFORMATION, battery_level),
    "IsSupervised": Query(ALL, _INFORMATION, lambda s, n: s.supervised),
    "IsActivationLockEnabled": Query(IOS | MAC, _INFORMATION, lambda s, n: s.activation_lock),
    "DiagnosticSubmissionEnabled": Query(
        IOS, _INFORMATION, _changed("DiagnosticSubmission", False)
    ),
    "AppAnalyticsEnabled": Query(IOS, _INFORMATION, _changed("AppAnalytics", False)),
    "TimeZone": Query(IOS | TV, _INFORMATION, lambda s, n: s.time_zone),
    "WiFiMAC": Query(ALL, _NETWORK, lambda s, n: s.wifi_mac),
    "BluetoothMAC": Query(ALL, _NETWORK, lambda s, n: s.bluetooth_mac),
}

_MACS: Final[dict[str, Query]] = {
    "ProvisioningUDID": Query(
        MAC, 0, lambda s, n: f"0000{stable(s, 'chip', 4)}-{stable(s, 'ecid', 16)}"
    ),
    "IsAppleSilicon": Query(MAC, _INFORMATION, _mac(lambda mac: mac.apple_silicon)),
    "HasBattery": Query(MAC, _INFORMATION, lambda s, n: s.battery is not None),
    "IsActivationLockSupported": Query(MAC, _INFORMATION, _always(True)),
    "SupportsLOMDevice": Query(MAC, _INFORMATION, lambda s, n: has_lights_out(s)),
    "ActiveManagedUsers": Query(MAC, _INFORMATION, _managed_users),
    "OSUpdateSettings": Query(MAC, _INFORMATION, _software_updates),
    "LocalHostName": Query(MAC, _INFORMATION, lambda s, n: _local_host_name(s)),
    "HostName": Query(MAC, _INFORMATION, _mac(lambda mac: mac.host_name or None)),
    "AutoSetupAdminAccounts": Query(MAC, _INFORMATION, _auto_admins),
    "SystemIntegrityProtectionEnabled": Query(MAC, _INFORMATION, _always(True)),
    "PINRequiredForEraseDevice": Query(MAC, _INFORMATION, _always(False)),
    "PINRequiredForDeviceLock": Query(MAC, _INFORMATION, _always(True)),
    "SupportsiOSAppInstalls": Query(MAC, _INFORMATION, _mac(lambda mac: mac.apple_silicon)),
    "EACSPreflight": Query(MAC, _INFORMATION, _always("success")),
    "EthernetMAC": Query(MAC, _NETWORK, lambda s, n: s.wifi_mac[:-2] + "E0"),
}

_MOBILE: Final[dict[str, Query]] = {
    "SoftwareUpdateSettings": Query(
        IOS,
        0,
        lambda s, n: {"RecommendationsCadence": setting(s, "SoftwareUpdateSettings", 0)},
    ),
    "IMEI": Query(IOS, _INFORMATION, _sim(lambda sim: sim.imei)),
    "MEID": Query(IOS, _INFORMATION, _sim(lambda sim: sim.meid)),
    "ModemFirmwareVersion": Query(IOS, _INFORMATION, _sim(lambda sim: "2.10.02")),
    "CellularTechnology": Query(IOS, _INFORMATION, lambda s, n: 3 if s.cellular else 0),
    "IsMultiUser": Query(IOS, _INFORMATION, lambda s, n: s.shared),
    "IsDeviceLocatorServiceEnabled": Query(IOS, _INFORMATION, lambda s, n: s.activation_lock),
    "IsDoNotDisturbInEffect": Query(IOS, _INFORMATION, _always(False)),
    "DeviceID": Query(TV, _INFORMATION, lambda s, n: s.wifi_mac),
    "EASDeviceIdentifier": Query(IOS, _INFORMATION, lambda s, n: stable(s, "eas", 26)),
    "IsCloudBackupEnabled": Query(IOS, _INFORMATION, _always(True)),
    "IsMDMLostModeEnabled": Query(IOS, _INFORMATION, lambda s, n: s.lost_mode is not None),
    "ICCID": Query(IOS, _NETWORK, _sim(lambda sim: sim.iccid)),
    "CurrentCarrierNetwork": Query(IOS, _NETWORK, _sim(lambda sim: sim.carrier)),
    "SIMCarrierNetwork": Query(IOS, _NETWORK, _sim(lambda sim: sim.carrier)),
    "CarrierSettingsVersion": Query(IOS, _NETWORK, _sim(lambda sim: "64.0")),
    "PhoneNumber": Query(IOS, _NETWORK, _sim(lambda sim: sim.phone_number)),
    "DataRoamingEnabled": Query(IOS, _NETWORK, _sim(lambda sim: sim.data_roaming)),
    "VoiceRoamingEnabled": Query(IOS, _NETWORK, _sim(lambda sim: sim.voice_roaming)),
    "IsRoaming": Query(IOS, _NETWORK, _sim(lambda sim: False)),
    "SubscriberCarrierNetwork": Query(IOS, _NETWORK, _sim(lambda sim: sim.carrier)),
    "SubscriberMCC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mcc)),
    "SubscriberMNC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mnc)),
    "PersonalHotspotEnabled": Query(IOS, _NETWORK, _sim(lambda sim: sim.personal_hotspot)),
    "IsNetworkTethered": Query(IOS, _NETWORK, _always(False)),
    "SIMMCC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mcc)),
    "SIMMNC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mnc)),
    "CurrentMCC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mcc)),
    "CurrentMNC": Query(IOS, _NETWORK, _sim(lambda sim: sim.mnc)),
    "ServiceSubscriptions": Query(IOS, _NETWORK, _sim(_subscriptions)),
}

_SHARED: Final[dict[str, Value]] = {
    "MaximumResidentUsers": _changed("MaximumResidentUsers", 10),
    "EstimatedResidentUsers": _always(10),
    "QuotaSize": _shared_configuration("QuotaSize", 2048),
    "ResidentUsers": _shared_configuration("ResidentUsers", 10),
    "UserSessionTimeout": _shared_configuration("UserSessionTimeout", 0),
    "TemporarySessionTimeout": _shared_configuration("TemporarySessionTimeout", 0),
    "TemporarySessionOnly": _shared_configuration("TemporarySessionOnly", False),
    "ManagedAppleIDDefaultDomains": _shared_configuration("ManagedAppleIDDefaultDomains", []),
    "OnlineAuthenticationGracePeriod": _shared_configuration("OnlineAuthenticationGracePeriod", 0),
    "SkipLanguageAndLocaleSetupForNewUsers": _shared_configuration(
        "SkipLanguageAndLocaleSetupForNewUsers", False
    ),
}

QUERIES: Final[dict[str, Query]] = {
    **_GENERAL,
    **_MACS,
    **_MOBILE,
    **{name: Query(IOS, _INFORMATION, value, shared=True) for name, value in _SHARED.items()},
}
