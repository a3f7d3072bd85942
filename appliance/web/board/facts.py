"""What a device said of itself, in words. Answers may be hostile: every type is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from appliance.mdm.device import DeviceFacts
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
    found = [*_levels(information)]
    for label, value in (
        (text("Model number"), information.get("ModelNumber")),
        (text("Model identifier"), facts.product_name),
        (text("Build"), facts.build_version),
        (text("UDID"), facts.udid),
        (text("IMEI"), facts.imei),
        (text("Last iCloud backup"), information.get("LastCloudBackupDate")),
        (text("Time zone"), information.get("TimeZone")),
    ):
        found += _texts(label, value)
    return found


def network_facts(information: Answer) -> list[Fact]:
    """Return the addresses and names of the device in networks."""
    found: list[Fact] = []
    for label, key in (
        (text("Host name"), "HostName"),
        (text("Wi-Fi address"), "WiFiMAC"),
        (text("Ethernet address"), "EthernetMAC"),
        (text("Bluetooth address"), "BluetoothMAC"),
        (text("Phone number"), "PhoneNumber"),
        (text("Carrier"), "CurrentCarrierNetwork"),
    ):
        found += _texts(label, information.get(key))
    return found


def battery_of(information: Answer) -> float | None:
    """Return how full the battery is, 0 to 1, None where there is none or it is not known."""
    level = information.get("BatteryLevel")
    return float(level) if _is_number(level) and 0 <= level <= 1 else None


def _levels(information: Answer) -> Iterator[Fact]:
    level = battery_of(information)
    if level is not None:
        tone = "bad" if level < 0.1 else ""
        yield Fact(label=text("Battery"), value=f"{level:.0%}", tone=tone, share=level)
    total, free = information.get("DeviceCapacity"), information.get("AvailableDeviceCapacity")
    if _is_number(total) and _is_number(free) and 0 <= free <= total < 1e9 and total > 0:
        used = 1 - free / total
        tone = "warn" if used > 0.9 else ""
        value = f"{total - free:.0f} / {total:.0f} GB"
        yield Fact(label=text("Storage used"), value=value, tone=tone, share=used)


def _management(information: Answer, security: Answer, facts: DeviceFacts) -> Iterator[Fact]:
    status = _dictionary(security, "ManagementStatus")
    yield from _yes_no(text("Supervised"), facts.is_supervised)
    yield from _yes_no(text("Automated Device Enrollment"), status.get("EnrolledViaDEP"))
    yield from _yes_no(
        text("Approved by the user"), status.get("UserApprovedEnrollment"), no="warn"
    )
    yield from _on_off(text("Activation Lock"), information.get("IsActivationLockEnabled"))
    if information.get("IsMDMLostModeEnabled") is True:
        yield Fact(label=text("Lost Mode"), word=text("On"), tone="warn")


def _protection(information: Answer, security: Answer) -> Iterator[Fact]:
    yield from _passcode(security)
    yield from _on_off(text("FileVault"), security.get("FDE_Enabled"), on="ok", off="warn")
    encryption = _ENCRYPTION.get(_integer(security.get("HardwareEncryptionCaps")))
    if encryption is not None:
        yield Fact(label=text("Encryption"), word=encryption)
    firewall = _dictionary(security, "FirewallSettings").get("FirewallEnabled")
    yield from _on_off(text("Firewall"), firewall, on="ok", off="warn")
    protected = security.get(
        "SystemIntegrityProtectionEnabled", information.get("SystemIntegrityProtectionEnabled")
    )
    yield from _on_off(text("System Integrity Protection"), protected, on="ok", off="bad")
    level = _dictionary(security, "SecureBoot").get("SecureBootLevel")
    if isinstance(level, str) and level in _SECURE_BOOT:
        word, tone = _SECURE_BOOT[level]
        yield Fact(label=text("Secure Boot"), word=word, tone=tone)
    yield from _on_off(text("Recovery lock"), security.get("IsRecoveryLockEnabled"))


def _passcode(security: Answer) -> Iterator[Fact]:
    label, present = text("Passcode"), security.get("PasscodePresent")
    if present is False:
        yield Fact(label=label, word=text("None"), tone="warn")
    elif present is True and security.get("PasscodeCompliant") is False:
        yield Fact(label=label, word=text("Set, but weaker than required"), tone="warn")
    elif present is True:
        yield Fact(label=label, word=text("Set"), tone="ok")


_ENCRYPTION = {
    0: text("None"),
    1: text("Of blocks"),
    2: text("Of files"),
    3: text("Of blocks and files"),
}
_SECURE_BOOT = {
    "full": (text("Full"), "ok"),
    "medium": (text("Reduced"), "warn"),
    "off": (text("Off"), "bad"),
}


def _yes_no(label: str, value: object, *, no: str = "") -> Iterator[Fact]:
    if isinstance(value, bool):
        word = text("Yes") if value else text("No")
        yield Fact(label=label, word=word, tone="" if value else no)


def _on_off(label: str, value: object, *, on: str = "", off: str = "") -> Iterator[Fact]:
    if isinstance(value, bool):
        yield Fact(
            label=label, word=text("On") if value else text("Off"), tone=on if value else off
        )


def _texts(label: str, value: object) -> Iterator[Fact]:
    if isinstance(value, str) and value:
        yield Fact(label=label, value=value[:_LONGEST])


def _dictionary(answer: Answer, key: str) -> Answer:
    value = answer.get(key)
    return value if isinstance(value, dict) else {}


def _integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
