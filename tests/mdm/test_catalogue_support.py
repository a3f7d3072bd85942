"""What a device is known not to support is refused with the reason; the unknown is a warning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.mdm.catalogue import Support, catalogue, check_support
from appliance.mdm.device import DeviceFacts

IPHONE = DeviceFacts(platform="iOS", os_version="18.1", is_supervised=True, shared_ipad=False)
MAC = DeviceFacts(platform="macOS", os_version="15.1", is_supervised=True, is_apple_silicon=True)


def iphone(**facts: Any) -> DeviceFacts:
    """Everything known and harmless, but `facts`."""
    return replace(IPHONE, **facts)


def check(
    request_type: str,
    device: DeviceFacts,
    *,
    user_channel: bool = False,
    parameters: dict[str, Any] | None = None,
) -> Support:
    spec = catalogue()[request_type]
    return check_support(spec, device, user_channel=user_channel, parameters=parameters)


REFUSED = [
    # request type, device, user channel, part of the reason
    ("SetRecoveryLock", IPHONE, False, "does not exist on iOS, only on macOS"),
    ("RestartDevice", iphone(is_supervised=False), False, "needs a supervised device"),
    ("RestartDevice", iphone(os_version="10.2.1"), False, "needs iOS 10.3 or later"),
    (
        "EnableRemoteDesktop",
        replace(MAC, os_version="10.14.3"),
        False,
        "needs macOS 10.14.4 or later",
    ),
    ("EraseDevice", iphone(is_user_enrollment=True), False, "not allowed in a user enrollment"),
    ("DeviceLock", MAC, True, "is for the device channel only"),
    ("ActiveNSExtensions", MAC, False, "is for a user channel only"),
    ("LogOutUser", IPHONE, False, "needs a Shared iPad"),
    ("ClearPasscode", iphone(shared_ipad=True), False, "is not allowed on a Shared iPad"),
    ("RestartDevice", iphone(shared_ipad=True), True, "device channel of a Shared iPad only"),
    ("SetRecoveryLock", replace(MAC, is_apple_silicon=False), False, "needs Apple silicon"),
    ("SetFirmwarePassword", MAC, False, "needs an Intel processor"),
    ("InviteToProgram", iphone(shared_ipad=True), False, "user channel of a Shared iPad only"),
]


@pytest.mark.parametrize(("request_type", "device", "user_channel", "reason"), REFUSED)
def test_known_lack_is_refused(
    request_type: str, device: DeviceFacts, user_channel: bool, reason: str
) -> None:
    refusals = check(request_type, device, user_channel=user_channel).refusals
    assert len(refusals) == 1
    assert reason in refusals[0]


WARNED = [
    ("RestartDevice", iphone(platform=None), "platform of the device is not known"),
    ("RestartDevice", iphone(os_version=None), "the version is not known yet"),
    ("RestartDevice", iphone(is_supervised=None), "is not known yet"),
    ("LogOutUser", iphone(shared_ipad=None), "is not known yet"),
    ("AccountConfiguration", MAC, "needs Automated Device Enrollment"),
    ("SetRecoveryLock", replace(MAC, is_apple_silicon=None), "processor is not known yet"),
    ("RequestUnlockToken", IPHONE, "is deprecated since iOS 6.1.6"),
]


@pytest.mark.parametrize(("request_type", "device", "warning"), WARNED)
def test_unknown_is_a_warning(request_type: str, device: DeviceFacts, warning: str) -> None:
    support = check(request_type, device)
    assert not support.refusals
    assert any(warning in each for each in support.warnings)


ALLOWED = [
    ("RestartDevice", IPHONE, False),
    ("RestartDevice", iphone(os_version="10.3"), False),
    ("RestartDevice", replace(MAC, os_version="10.13", is_supervised=False), False),
    ("InstallProfile", MAC, True),
    ("LogOutUser", iphone(shared_ipad=True), False),
    ("ScheduleOSUpdateScan", MAC, False),
    ("InstallProfile", iphone(is_user_enrollment=True, is_supervised=False), False),
]


@pytest.mark.parametrize(("request_type", "device", "user_channel"), ALLOWED)
def test_supported_passes_in_silence(
    request_type: str, device: DeviceFacts, user_channel: bool
) -> None:
    assert check(request_type, device, user_channel=user_channel) == Support()


def test_a_key_that_the_platform_lacks_is_a_warning() -> None:
    parameters = {"PIN": "123456", "Message": "lost"}
    assert check("DeviceLock", MAC, parameters=parameters) == Support()
    assert check("DeviceLock", IPHONE, parameters=parameters).warnings == [
        "PIN does not exist on iOS"
    ]


def test_a_key_below_a_list_is_found() -> None:
    update = {"ProductVersion": "18.2", "InstallAction": "Default", "Priority": "High"}
    warnings = check("ScheduleOSUpdate", IPHONE, parameters={"Updates": [update]}).warnings
    assert "Updates[0].Priority does not exist on iOS" in warnings


def test_a_setting_that_the_device_lacks_is_refused() -> None:
    name = {"Item": "DeviceName", "DeviceName": "x"}
    host = {"Item": "HostName", "HostName": "x"}
    both = {"Settings": [name, host]}
    assert check("Settings", MAC, parameters=both) == Support()
    assert check("Settings", IPHONE, parameters=both).refusals == ["HostName does not exist on iOS"]
    unsupervised = iphone(is_supervised=False)
    refusals = check("Settings", unsupervised, parameters={"Settings": [name]}).refusals
    assert refusals == ["DeviceName needs a supervised device; this one is not"]
    removed = {"Settings": [{"Item": "MaximumResidentUsers", "MaximumResidentUsers": 3}]}
    assert check("Settings", iphone(shared_ipad=False), parameters=removed).refusals


def test_queries_that_are_not_answered_are_one_warning() -> None:
    queries = ["UDID", "IMEI", "ICCID"]
    support = check("DeviceInformation", MAC, parameters={"Queries": queries})
    assert support == Support(warnings=["the device does not answer IMEI, ICCID"])
    user_enrolled = iphone(is_user_enrollment=True)
    support = check("DeviceInformation", user_enrolled, parameters={"Queries": ["SerialNumber"]})
    assert support == Support(warnings=["the device does not answer SerialNumber"])


@pytest.mark.parametrize(
    ("version", "refused"),
    [("18.1 (a)", False), ("10.3.0", False), ("11", False), ("10.2.9", True), ("9", True)],
)
def test_versions_are_compared_as_numbers(version: str, refused: bool) -> None:
    assert bool(check("RestartDevice", iphone(os_version=version)).refusals) == refused


@pytest.mark.parametrize("version", ["", "beta", None])
def test_a_version_that_cannot_be_read_is_unknown(version: str | None) -> None:
    assert not check("RestartDevice", iphone(os_version=version)).refusals
