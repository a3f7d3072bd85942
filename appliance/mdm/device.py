"""What is known about a device, gathered from what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal, TypeAlias

from appliance.mdm.checkin import MAX_TEXT_LENGTH, Authenticate, TokenUpdate
from appliance.mdm.enrollment import EnrollmentType
from appliance.wire.plist import Plist, Value

Platform: TypeAlias = Literal["iOS", "macOS", "tvOS", "watchOS", "visionOS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """None means not known: a device answers only what it has and what the profile grants."""

    serial_number: str | None = None
    udid: str | None = None
    name: str | None = None
    model: str | None = None
    model_name: str | None = None
    product_name: str | None = None
    os_version: str | None = None
    build_version: str | None = None
    imei: str | None = None
    meid: str | None = None
    is_supervised: bool | None = None
    platform: Platform | None = None
    is_apple_silicon: bool | None = None
    is_user_enrollment: bool = False
    shared_ipad: bool | None = None
    awaiting_configuration: bool | None = None
    is_erased: bool = False  # it said so, and has not enrolled since
    is_identity_proven: bool = False  # Apple's signature names its UDID and serial number


def from_authenticate(message: Authenticate) -> DeviceFacts:
    """Return what a device says of itself when it enrolls."""
    return DeviceFacts(
        serial_number=message.serial_number,
        udid=None if _by_enrollment_id(message) else message.enrollment.id,
        name=message.device_name,
        model=message.model,
        model_name=message.model_name,
        product_name=message.product_name,
        os_version=message.os_version,
        build_version=message.build_version,
        imei=message.imei,
        meid=message.meid,
        platform=platform_of(message.product_name, message.model_name, message.model),
        is_user_enrollment=_by_enrollment_id(message),
    )


def tells_facts(message: TokenUpdate) -> bool:
    """Tell whether a TokenUpdate says anything of the device or of its user; most do not."""
    return message.enrollment.is_user_channel or message.awaiting_configuration is not None


def updated_by_token_update(facts: DeviceFacts, message: TokenUpdate) -> DeviceFacts:
    """Return `facts` with what a TokenUpdate tells; a user's login tells of a Shared iPad."""
    if message.enrollment.type is EnrollmentType.SHARED_IPAD:
        return replace(facts, shared_ipad=True)
    if message.enrollment.is_user_channel or message.awaiting_configuration is None:
        return facts
    return replace(facts, awaiting_configuration=message.awaiting_configuration)


def updated_by_device_information(facts: DeviceFacts, query_responses: Plist) -> DeviceFacts:
    """Return `facts` with the answers that are present; an answer of another type is passed over.

    A queried key may be absent, so absence changes nothing.
    """
    answers = query_responses.value
    news: dict[str, Any] = {}
    for key, fact in _TEXTS.items():
        text = answers.get(key)
        if isinstance(text, str) and 1 <= len(text) <= MAX_TEXT_LENGTH:
            news[fact] = text
    for key, fact in _BOOLEANS.items():
        answer = answers.get(key)
        if isinstance(answer, bool):
            news[fact] = answer
    is_news = any(getattr(facts, fact) != value for fact, value in news.items())
    if not is_news and facts.platform is not None:
        return facts
    if _is_another(facts, news):
        news["is_identity_proven"] = False
    facts = replace(facts, **news)
    platform = platform_of(facts.product_name, facts.model_name, facts.model)
    return replace(facts, platform=platform or facts.platform)


def updated_by_security_info(facts: DeviceFacts, security_info: Plist) -> DeviceFacts:
    """Return `facts` with how the device is enrolled, if the answer says so."""
    status = security_info.value.get("ManagementStatus")
    if not isinstance(status, dict):
        return facts
    is_user_enrollment = _boolean(status, "IsUserEnrollment", facts.is_user_enrollment)
    return replace(facts, is_user_enrollment=bool(is_user_enrollment))


def platform_of(*names: str | None) -> Platform | None:
    """Return the platform that a ProductName, ModelName or Model tells, the first that does."""
    for name in names:
        for prefix, platform in _PLATFORMS:
            if name is not None and name.startswith(prefix):
                return platform
    return None


def compare_versions(first: str, second: str) -> int:
    """Return -1, 0 or 1 as `first` is older than, the same as or newer than `second`.

    Compares the leading dotted numbers; missing ones count as zero, so 17 is 17.0.
    """
    for one, other in zip_longest(_numbers(first), _numbers(second), fillvalue=0):
        if one != other:
            return -1 if one < other else 1
    return 0


_PLATFORMS: tuple[tuple[str, Platform], ...] = (
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("iPod", "iOS"),
    ("AppleTV", "tvOS"),
    ("Apple TV", "tvOS"),
    ("Watch", "watchOS"),
    ("Apple Watch", "watchOS"),
    ("RealityDevice", "visionOS"),
    ("Apple Vision", "visionOS"),
    ("Mac", "macOS"),
    ("iMac", "macOS"),
    ("VirtualMac", "macOS"),
    ("Xserve", "macOS"),
    # A Mac in a virtual machine reports the hypervisor.
    ("VMware", "macOS"),
    ("Parallels", "macOS"),
)

# Answers of DeviceInformation, and the facts that they are.
_TEXTS = {
    "SerialNumber": "serial_number", "UDID": "udid", "DeviceName": "name", "Model": "model",
    "ModelName": "model_name", "ProductName": "product_name", "OSVersion": "os_version",
    "BuildVersion": "build_version", "IMEI": "imei", "MEID": "meid",
}  # fmt: skip
_BOOLEANS = {
    "IsSupervised": "is_supervised", "IsAppleSilicon": "is_apple_silicon",
    "IsMultiUser": "shared_ipad", "AwaitingConfiguration": "awaiting_configuration",
}  # fmt: skip

_PROVEN = ("udid", "serial_number")

_LEADING_VERSION = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9}){0,9})")


def _is_another(facts: DeviceFacts, news: Mapping[str, Any]) -> bool:
    """Tell whether a device now says that it is not the one it was."""
    return any(name in news and news[name] != getattr(facts, name) for name in _PROVEN)


def _by_enrollment_id(message: Authenticate) -> bool:
    return message.enrollment.type is EnrollmentType.USER_ENROLLMENT_DEVICE


def _boolean(answers: Mapping[str, Value], key: str, known: bool | None) -> bool | None:
    value = answers.get(key)
    return value if isinstance(value, bool) else known


def _numbers(version: str) -> list[int]:
    leading = _LEADING_VERSION.match(version)
    return [int(number) for number in leading.group(1).split(".")] if leading else []
