"""What a device said of itself, picked for its page, in the words of `labels` and `values`.

Answers may be hostile: every type is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from appliance.mdm.device import DeviceFacts
from appliance.web.board.labels import LABELS
from appliance.web.board.values import cell_of
from appliance.web.languages import text

Answer = Mapping[str, Any]

_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line: `word` is to be translated, `value` is the device's own; tones as badges have."""

    label: str
    word: str = ""
    value: str = ""
    tone: str = ""
    share: float | None = None  # 0 to 1, drawn as a bar


def security_facts(information: Answer, security: Answer, facts: DeviceFacts) -> list[Fact]:
    """Return how well the device is protected."""
    return [*_management(information, security, facts), *_protection(information, security)]


def hardware_facts(information: Answer, facts: DeviceFacts) -> list[Fact]:
    """Return what the device is made of, and how full it is."""
    known = {"ProductName": facts.product_name, "BuildVersion": facts.build_version}
    known |= {"UDID": facts.udid, "IMEI": facts.imei}
    found = [*_levels(information)]
    for key in (
        "ModelNumber", "ProductName", "BuildVersion", "UDID", "IMEI", "LastCloudBackupDate",
        "TimeZone",
    ):  # fmt: skip
        found += _texts(key, known.get(key, information.get(key)))
    return found


def network_facts(information: Answer) -> list[Fact]:
    """Return the addresses and names of the device in networks."""
    keys = (
        "HostName", "WiFiMAC", "EthernetMAC", "BluetoothMAC", "PhoneNumber",
        "CurrentCarrierNetwork",
    )  # fmt: skip
    return [fact for key in keys for fact in _texts(key, information.get(key))]


def battery_of(information: Answer) -> float | None:
    """Return how full the battery is, 0 to 1, None where there is none or it is not known."""
    level = information.get("BatteryLevel")
    return float(level) if _is_number(level) and 0 <= level <= 1 else None


def _levels(information: Answer) -> Iterator[Fact]:
    level = battery_of(information)
    if level is not None:
        tone = "bad" if level < 0.1 else ""
        label = LABELS["BatteryLevel"]
        yield Fact(label=label, value=f"{level:.0%}", tone=tone, share=level)
    total, free = information.get("DeviceCapacity"), information.get("AvailableDeviceCapacity")
    if _is_number(total) and _is_number(free) and 0 <= free <= total < 1e9 and total > 0:
        used = 1 - free / total
        tone = "warn" if used > 0.9 else ""
        value = f"{total - free:.0f} / {total:.0f} GB"
        yield Fact(label=text("Storage used"), value=value, tone=tone, share=used)


def _management(information: Answer, security: Answer, facts: DeviceFacts) -> Iterator[Fact]:
    status = _dictionary(security, "ManagementStatus")
    if facts.is_identity_proven:
        yield Fact(label=text("Identity"), word=text("Proven by Apple"), tone="ok")
    yield from _words("IsSupervised", facts.is_supervised)
    for key in ("EnrolledViaDEP", "UserApprovedEnrollment"):
        yield from _words(key, status.get(key))
    yield from _words("IsActivationLockEnabled", information.get("IsActivationLockEnabled"))
    if information.get("IsMDMLostModeEnabled") is True:
        yield from _words("IsMDMLostModeEnabled", True)


def _protection(information: Answer, security: Answer) -> Iterator[Fact]:
    yield from _passcode(security)
    yield from _words("FDE_Enabled", security.get("FDE_Enabled"))
    yield from _words("HardwareEncryptionCaps", security.get("HardwareEncryptionCaps"), int)
    firewall = _dictionary(security, "FirewallSettings").get("FirewallEnabled")
    yield from _words("FirewallEnabled", firewall)
    key = "SystemIntegrityProtectionEnabled"
    yield from _words(key, security.get(key, information.get(key)))
    level = _dictionary(security, "SecureBoot").get("SecureBootLevel")
    yield from _words("SecureBootLevel", level, str)
    yield from _words("IsRecoveryLockEnabled", security.get("IsRecoveryLockEnabled"))


def _passcode(security: Answer) -> Iterator[Fact]:
    label, present = text("Passcode"), security.get("PasscodePresent")
    if present is False:
        yield Fact(label=label, word=text("None"), tone="warn")
    elif present is True and security.get("PasscodeCompliant") is False:
        yield Fact(label=label, word=text("Set, but weaker than required"), tone="warn")
    elif present is True:
        yield Fact(label=label, word=text("Set"), tone="ok")


def _words(key: str, value: object, kind: type = bool) -> Iterator[Fact]:
    """Tell `value` in words if it is of the kind that Apple says, and known."""
    if type(value) is kind:
        cell = cell_of(key, value, reveal=False)
        if cell.kind == "word":
            yield Fact(label=LABELS[key], word=cell.text, tone=cell.tone)


def _texts(key: str, value: object) -> Iterator[Fact]:
    if isinstance(value, str) and value:
        yield Fact(label=LABELS[key], value=value[:_LONGEST])


def _dictionary(answer: Answer, key: str) -> Answer:
    value = answer.get(key)
    return value if isinstance(value, dict) else {}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
