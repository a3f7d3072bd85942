"""One value of an answer for people: with its unit, in words, never as it was encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.mdm.command import SECRET_KEYS
from appliance.web.languages import text

_LONGEST = 500
_MOST_ITEMS = 40  # of a list within one cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands beside a label.

    `kind` is word (to be translated and filled with `values`), text (the device's own), code
    (an identifier), date, data (`text` is its size in bytes), many (entries that have no place in
    a cell; `text` is their number), withheld, or nothing.
    """

    kind: str
    text: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    tone: str = ""


NOTHING = Cell(kind="nothing")


def cell_of(key: str, value: Any, *, reveal: bool) -> Cell:
    """Return the cell of `value`, which a device gave for `key`."""
    if key in SECRET_KEYS and not reveal:
        return Cell(kind="withheld")
    word = _word(key, value)
    if word is not None:
        return word
    match value:
        case int() | float():
            return _number(key, value)
        case datetime():
            return Cell(kind="date", text=f"{value:%Y-%m-%d %H:%M} UTC")
        case bytes():
            return Cell(kind="data", text=str(len(value)))
        case list():
            return _list(key, value, reveal=reveal)
        case dict():
            return Cell(kind="many", text=str(len(value))) if value else NOTHING
        case str() if value.strip():
            kind = "code" if _is_identifier(key) else "text"
            return Cell(kind=kind, text=value[:_LONGEST])
        case _:
            return NOTHING


def _word(key: str, value: Any) -> Cell | None:
    """Return what a boolean or one of Apple's words means."""
    if isinstance(value, bool):
        is_switch = key.endswith("Enabled") or key in _SWITCHES
        on, off = (text("On"), text("Off")) if is_switch else (text("Yes"), text("No"))
        return Cell(kind="word", text=on if value else off, tone=_TONES.get((key, value), ""))
    words = _WORDS.get(key)
    if words is None or not isinstance(value, str | int) or value not in words:
        return None
    word = words[value]
    tone = "bad" if word in _BAD else _TONES.get((key, value), "")
    return Cell(kind="word", text=word, tone=tone)


def _number(key: str, value: float) -> Cell:
    if key in _BYTES or key.startswith("TotalBytes"):
        return Cell(kind="text", text=size(value))
    if key in _GIGABYTES:
        return Cell(kind="text", text=f"{value:.1f} GB")
    if key in _SHARES and 0 <= value <= 1:
        return Cell(kind="text", text=f"{value:.0%}")
    if key in _SECONDS:
        return _duration(value)
    if key == "QuotaSize":
        return Cell(kind="text", text=size(value * 1e6))
    if key == "OnlineAuthenticationGracePeriod":
        return Cell(kind="word", text=text("%(count)s d"), values={"count": f"{value:.0f}"})
    unit = _UNITS.get(key, "")
    shown = str(value) if isinstance(value, int) else f"{value:.6g}"
    return Cell(kind="text", text=f"{shown}{unit}")


def _duration(seconds: float) -> Cell:
    if seconds == 0:
        return Cell(kind="word", text=text("At once"))
    if seconds < 60 or seconds % 60:
        return Cell(kind="word", text=text("%(count)s s"), values={"count": f"{seconds:.0f}"})
    return Cell(kind="word", text=text("%(count)s min"), values={"count": f"{seconds // 60:.0f}"})


def _list(key: str, items: list[Any], *, reveal: bool) -> Cell:
    shown = [cell_of(key, item, reveal=reveal) for item in items[:_MOST_ITEMS]]
    if not shown:
        return NOTHING
    if len(items) > _MOST_ITEMS or any(cell.kind not in ("text", "code") for cell in shown):
        return shown[0] if len(items) == 1 else Cell(kind="many", text=str(len(items)))
    return Cell(kind=shown[0].kind, text=", ".join(cell.text for cell in shown))


def size(count: float) -> str:
    """Return bytes as Apple's systems show them: `9 GB`, `18.4 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count:.0f} B"


def _is_identifier(key: str) -> bool:
    return key.endswith(("UUID", "UDID", "GUID", "Identifier", "MAC", "ID", "Magic", "Hash"))


_SWITCHES = frozenset({"FirewallEnabled", "FDE_Enabled", "StealthMode", "BlockAllIncoming"})
_BYTES = frozenset(
    {
        "BundleSize", "DynamicSize", "DownloadSize", "InstallSize", "DataQuota", "DataUsed",
        "CacheUsed", "CacheFree", "CacheLimit", "ActualCacheUsed", "CacheDetails",
        "PersonalCacheUsed", "PersonalCacheFree", "PersonalCacheLimit", "cache-size",
    }
)  # fmt: skip
_GIGABYTES = frozenset({"DeviceCapacity", "AvailableDeviceCapacity"})  # of 1024³ bytes
_SHARES = frozenset(
    {
        "BatteryLevel", "DownloadPercentComplete", "DataMigrationProgress",
        "MaxCachePressureLast1Hour",
    }
)  # fmt: skip
_SECONDS = frozenset(
    {
        "PasscodeLockGracePeriod", "PasscodeLockGracePeriodEnforced", "AutoLockTime",
        "UserSessionTimeout", "TemporarySessionTimeout",
    }
)  # fmt: skip
_UNITS = {
    "Latitude": "°", "Longitude": "°", "Course": "°", "Speed": " m/s",
    "Altitude": " m", "HorizontalAccuracy": " m", "VerticalAccuracy": " m",
}  # fmt: skip

_TONES: Mapping[tuple[str, object], str] = {
    ("FDE_Enabled", True): "ok",
    ("FDE_Enabled", False): "warn",
    ("FirewallEnabled", True): "ok",
    ("FirewallEnabled", False): "warn",
    ("SystemIntegrityProtectionEnabled", True): "ok",
    ("SystemIntegrityProtectionEnabled", False): "bad",
    ("AuthenticatedRootVolumeEnabled", False): "bad",
    ("PasscodePresent", True): "ok",
    ("PasscodePresent", False): "warn",
    ("PasscodeCompliant", False): "warn",
    ("PasscodeCompliantWithProfiles", False): "warn",
    ("UserApprovedEnrollment", False): "warn",
    ("PasswordVerified", True): "ok",
    ("PasswordVerified", False): "warn",
    ("PasswordChanged", False): "warn",
    ("IsMDMLostModeEnabled", True): "warn",
    ("DeviceRequestSuccess", True): "ok",
    ("DeviceRequestSuccess", False): "bad",
    ("SecureBootLevel", "full"): "ok",
    ("SecureBootLevel", "medium"): "warn",
    ("SecureBootLevel", "off"): "bad",
}

_ALLOWED = {
    "allowed": text("Allowed"),
    "disallowed": text("Not allowed"),
    "not supported": text("Not supported"),
}
_APP_STATES = {
    "Queued": text("Queued"),
    "NeedsRedemption": text("Waits for a redemption code"),
    "Redeeming": text("Redeems its code"),
    "Prompting": text("Asks the user"),
    "PromptingForLogin": text("Asks the user to sign in"),
    "ValidatingPurchase": text("Checks the purchase"),
    "PromptingForUpdate": text("Asks the user about the update"),
    "PromptingForUpdateLogin": text("Asks the user to sign in for the update"),
    "PromptingForManagement": text("Asks the user to let it be managed"),
    "ValidatingUpdate": text("Checks the update"),
    "Updating": text("Updating"),
    "Installing": text("Installing"),
    "Installed": text("Installed"),
    "Uninstalled": text("Not installed"),
    "Managed": text("Managed"),
    "ManagedButUninstalled": text("Managed, but removed by the user"),
    "UserInstalledApp": text("Installed by the user"),
    "UserRejected": text("Refused by the user"),
    "UpdateRejected": text("Update refused by the user"),
    "ManagementRejected": text("Management refused by the user"),
    "Failed": text("Failed"),
    "Unknown": text("Unknown"),
}
_UPDATE_STATES = {
    "Idle": text("Nothing under way"),
    "Downloading": text("Downloading"),
    "DownloadFailed": text("Download failed"),
    "DownloadRequiresComputer": text("The download needs a computer"),
    "DownloadInsufficientSpace": text("Too little space to download"),
    "DownloadInsufficientPower": text("Too little power to download"),
    "DownloadInsufficientNetwork": text("The network is too slow to download"),
    "InstallInsufficientSpace": text("Too little space to install"),
    "InstallInsufficientPower": text("Too little power to install"),
    "InstallPhoneCallInProgress": text("A call is under way"),
    "InstallFailed": text("Installation failed"),
}
_WORDS: Mapping[str, Mapping[Any, str]] = {
    "HardwareEncryptionCaps": {
        0: text("None"),
        1: text("Of blocks"),
        2: text("Of files"),
        3: text("Of blocks and files"),
    },
    "CellularTechnology": {
        0: text("None"),
        1: "GSM",
        2: "CDMA",
        3: text("GSM and CDMA"),
    },
    "SecureBootLevel": {
        "full": text("Full"),
        "medium": text("Reduced"),
        "off": text("Off"),
        "not supported": text("Not supported"),
    },
    "ExternalBootLevel": _ALLOWED,
    "BootstrapTokenAllowedForAuthentication": _ALLOWED,
    "LoggingOption": {
        "throttled": text("Only now and then"),
        "brief": text("Short"),
        "detail": text("Detailed"),
    },
    "State": _APP_STATES,
    "Status": {
        **_APP_STATES,
        **_UPDATE_STATES,
        "Acknowledged": text("Done"),
        "Error": text("Refused"),
    },
    "InstallAction": {
        "Error": text("Refused"),
        "Default": text("As by default"),
        "DownloadOnly": text("Download only"),
        "InstallASAP": text("Install as soon as possible"),
        "NotifyOnly": text("Notify only"),
        "InstallLater": text("Install later"),
        "InstallForceRestart": text("Install and restart"),
    },
    "MirroringResult": {
        "Prompting": text("Asks the user"),
        "DestinationNotFound": text("Screen not found"),
        "Cancelled": text("Cancelled"),
        "Unknown": text("Unknown"),
    },
    "InvitationResult": {
        "Acknowledged": text("Accepted by the device"),
        "InvalidProgramID": text("The program is not known"),
        "InvalidInvitationURL": text("The address is not valid"),
    },
    "MessageResult": {
        "Success": text("Shown"),
        "NoPasscodeSet": text("Not shown: no passcode is set"),
        "Unknown": text("Unknown"),
    },
    "RejectionReason": {
        "AppAlreadyInstalled": text("Installed already"),
        "AppAlreadyQueued": text("Queued already"),
        "AppStoreDisabled": text("Installing apps is turned off"),
        "CouldNotVerifyAppID": text("Not found in the App Store"),
        "CouldNotVerifyITunesStoreID": text("Not found in the App Store"),
        "ManagementChangeNotSupported": text("Management cannot be changed"),
        "NotAnApp": text("Not an app"),
        "NotSupported": text("Not supported"),
        "Other": text("Another reason"),
        "PurchaseMethodNotSupported": text("This way of purchase is not supported"),
        "PurchaseMethodNotSupportedInMultiUser": text("This way of purchase is not supported"),
        "PurchaseNotFound": text("Purchase not found"),
        "WrongMediaType": text("Wrong kind of media"),
        "DownloadInvalid": text("The download is not valid"),
    },
    "UserElection": {
        "Default": text("As by default"),
        "Use": text("Turned on"),
        "Ignore": text("Turned off"),
    },
    "RegistrationStatus": {-1: text("Failed"), 0: text("Pending"), 1: text("Succeeded")},
    "TetheratorStatus": {-1: text("Unknown"), 0: text("Off"), 1: text("On")},
    "RecommendationsCadence": {0: text("All"), 1: text("Older only"), 2: text("Newer only")},
    "CacheStatus": {"OK": "OK", "LOWSPACE": text("Too little space")},
    "StartupStatus": {"OK": "OK", "NOT_ACTIVATED": text("Not turned on")},
}
_BAD = frozenset(
    {"Failed", "Refused", "Download failed", "Installation failed", "Refused by the user"}
)
