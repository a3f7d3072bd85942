"""The Settings command: each item is carried out or refused on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.simulator.answers.apps import managed_app
from appliance.simulator.answers.command import (
    ALL,
    IOS,
    MAC,
    NOWHERE,
    TV,
    Answer,
    Call,
    Command,
    acknowledged,
    check_right,
    is_of_type,
)
from appliance.simulator.errors import MDM, SETTINGS, Malformed, Refusal, not_supervised
from appliance.simulator.state import Cellular, DeviceState, Platform

Entry = Mapping[str, Any]  # one dictionary of the Settings array


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One item: where it exists, what it needs, what it does."""

    change: Callable[[DeviceState, Entry], None]
    on: frozenset[Platform] = IOS
    supervised: frozenset[Platform] = NOWHERE
    needs: Mapping[str, type] = field(default_factory=dict)
    takes: Mapping[str, type] = field(default_factory=dict)
    right: int = 2048
    shared: bool = False  # Shared iPad only


def _settings(call: Call) -> Answer:
    entries = call.keys["Settings"]
    if not all(isinstance(entry, dict) and type(entry.get("Item")) is str for entry in entries):
        raise Malformed("each of Settings needs an Item")
    return acknowledged(Settings=[_apply(call.state, entry) for entry in entries])


def _apply(state: DeviceState, entry: Entry) -> dict[str, Any]:
    about = {"Identifier": str(entry["Identifier"])} if "Identifier" in entry else {}
    try:
        _check(state, entry).change(state, entry)
    except Refusal as refusal:
        return {"Status": "Error", "ErrorChain": refusal.chain, **about}
    return {"Status": "Acknowledged", **about}


def _check(state: DeviceState, entry: Entry) -> Setting:
    item = entry["Item"]
    setting = ITEMS.get(item)
    if setting is None or state.platform not in setting.on:
        raise Refusal(SETTINGS, 28000, f"“{item}” is not a known setting.")
    if setting.shared and not state.shared:
        raise Refusal(SETTINGS, 28000, f"“{item}” is for Shared iPad only.")
    check_right(state, setting.right, item)
    if state.platform in setting.supervised and not state.supervised:
        raise not_supervised()
    for key, kind in setting.needs.items():
        if not is_of_type(entry.get(key), kind):
            raise Refusal(MDM, 12008, f"The setting “{item}” needs “{key}”.")
    for key, kind in setting.takes.items():
        if key in entry and not is_of_type(entry[key], kind):
            raise Refusal(MDM, 12008, f"“{key}” of the setting “{item}” is of the wrong type.")
    return setting


def _remember(state: DeviceState, entry: Entry) -> None:
    """Keep the one value, or all of several."""
    item = entry["Item"]
    known = ITEMS[item]
    values = {key: entry[key] for key in (*known.needs, *known.takes) if key in entry}
    only = values.get("Enabled", values.get(item))
    state.settings = {**(state.settings or {}), item: values if only is None else only}


def _update_cadence(state: DeviceState, entry: Entry) -> None:
    cadence = entry["RecommendationCadence"]
    state.settings = {**(state.settings or {}), "SoftwareUpdateSettings": cadence}


def _wallpaper(state: DeviceState, entry: Entry) -> None:
    if not bytes(entry["Image"]).startswith((b"\x89PNG", b"\xff\xd8")):
        raise Refusal(SETTINGS, 28001, "The wallpaper image is invalid.")
    if entry["Where"] not in (1, 2, 3):
        raise Refusal(SETTINGS, 28002, "The wallpaper could not be set.")


def _modem(state: DeviceState) -> Cellular:
    if state.cellular is None:
        raise Refusal(SETTINGS, 28000, "The device has no cellular modem.")
    return state.cellular


def _data_roaming(state: DeviceState, entry: Entry) -> None:
    modem = _modem(state)
    modem.data_roaming = entry["Enabled"]
    modem.voice_roaming = modem.voice_roaming or modem.data_roaming


def _voice_roaming(state: DeviceState, entry: Entry) -> None:
    modem = _modem(state)
    modem.voice_roaming = entry["Enabled"]
    modem.data_roaming = modem.data_roaming and modem.voice_roaming


def _personal_hotspot(state: DeviceState, entry: Entry) -> None:
    _modem(state).personal_hotspot = entry["Enabled"]


def _device_name(state: DeviceState, entry: Entry) -> None:
    if not entry["DeviceName"]:
        raise Refusal(MDM, 12008, "The device name is empty.")
    state.device_name = entry["DeviceName"]


def _host_name(state: DeviceState, entry: Entry) -> None:
    if state.mac:
        state.mac.host_name = entry["HostName"]


def _organization(state: DeviceState, entry: Entry) -> None:
    information = entry.get("OrganizationInfo", {})
    if information and not is_of_type(information.get("OrganizationName"), str):
        raise Refusal(MDM, 12008, "OrganizationInfo needs OrganizationName.")
    if not all(is_of_type(value, str) for value in information.values()):
        raise Refusal(MDM, 12008, "OrganizationInfo holds strings.")
    state.organization = dict(information) if information else None


def _options(state: DeviceState, entry: Entry) -> None:
    if not all(is_of_type(value, bool) for value in entry["MDMOptions"].values()):
        raise Refusal(MDM, 12008, "MDMOptions hold booleans.")
    state.options = {**(state.options or {}), **entry["MDMOptions"]}


def _time_zone(state: DeviceState, entry: Entry) -> None:
    if "/" not in entry["TimeZone"] and entry["TimeZone"] != "UTC":
        raise Refusal(MDM, 12008, f"“{entry['TimeZone']}” is not a time zone.")
    state.time_zone = entry["TimeZone"]


def _app_configuration(state: DeviceState, entry: Entry) -> None:
    managed_app(state, entry["Identifier"]).configuration = entry.get("Configuration")


def _app_attributes(state: DeviceState, entry: Entry) -> None:
    managed_app(state, entry["Identifier"]).attributes = entry.get("Attributes")


_ENABLED = {"Enabled": bool}
_SHARED = {
    "QuotaSize": int,
    "ResidentUsers": int,
    "UserSessionTimeout": int,
    "TemporarySessionTimeout": int,
    "TemporarySessionOnly": bool,
    "ManagedAppleIDDefaultDomains": list,
    "OnlineAuthenticationGracePeriod": int,
    "SkipLanguageAndLocaleSetupForNewUsers": bool,
    "AwaitUserConfiguration": dict,
    "PasscodePolicy": dict,
}
_ACCESSIBILITY = {
    "BoldTextEnabled": bool,
    "IncreaseContrastEnabled": bool,
    "ReduceMotionEnabled": bool,
    "ReduceTransparencyEnabled": bool,
    "TextSize": int,
    "TouchAccommodationsEnabled": bool,
    "VoiceOverEnabled": bool,
    "ZoomEnabled": bool,
    "GrayscaleEnabled": bool,
}
ITEMS: Final[dict[str, Setting]] = {
    "Wallpaper": Setting(change=_wallpaper, supervised=IOS, needs={"Image": bytes, "Where": int}),
    "DataRoaming": Setting(change=_data_roaming, needs=_ENABLED),
    "VoiceRoaming": Setting(change=_voice_roaming, needs=_ENABLED),
    "PersonalHotspot": Setting(change=_personal_hotspot, needs=_ENABLED, right=32),
    "Bluetooth": Setting(change=_remember, on=IOS | MAC, supervised=IOS, needs=_ENABLED),
    "ApplicationConfiguration": Setting(
        change=_app_configuration,
        on=ALL,
        needs={"Identifier": str},
        takes={"Configuration": dict},
        right=4096,
    ),
    "ApplicationAttributes": Setting(
        change=_app_attributes,
        on=IOS | TV,
        needs={"Identifier": str},
        takes={"Attributes": dict},
        right=4096,
    ),
    "DeviceName": Setting(change=_device_name, on=ALL, supervised=IOS, needs={"DeviceName": str}),
    "HostName": Setting(change=_host_name, on=MAC, needs={"HostName": str}),
    "OrganizationInfo": Setting(change=_organization, on=ALL, takes={"OrganizationInfo": dict}),
    "MDMOptions": Setting(change=_options, on=IOS | MAC, needs={"MDMOptions": dict}),
    "MaximumResidentUsers": Setting(
        change=_remember, needs={"MaximumResidentUsers": int}, shared=True
    ),
    "SharedDeviceConfiguration": Setting(change=_remember, takes=_SHARED, shared=True),
    "DiagnosticSubmission": Setting(change=_remember, needs=_ENABLED, shared=True),
    "AppAnalytics": Setting(change=_remember, needs=_ENABLED, shared=True),
    "PasscodeLockGracePeriod": Setting(
        change=_remember, needs={"PasscodeLockGracePeriod": int}, shared=True
    ),
    "TimeZone": Setting(
        change=_time_zone, on=IOS | TV, supervised=IOS | TV, needs={"TimeZone": str}
    ),
    "SoftwareUpdateSettings": Setting(
        change=_update_cadence, supervised=IOS, needs={"RecommendationCadence": int}
    ),
    "AccessibilitySettings": Setting(change=_remember, supervised=IOS, takes=_ACCESSIBILITY),
}

COMMANDS: Final = {
    "Settings": Command(
        run=_settings,
        right=2048,
        channels="DU",
        ipad="DU",
        needs={"Settings": list},
        unlocked=True,
    ),
}
