"""What is known about a device grows with its answers and is never lost to a missing one."""

from __future__ import annotations

import pytest

from appliance.mdm.checkin import Authenticate, TokenUpdate, parse_checkin
from appliance.mdm.device import (
    DeviceFacts,
    compare_versions,
    from_authenticate,
    platform_of,
    updated_by_device_information,
    updated_by_security_info,
    updated_by_token_update,
)
from appliance.mdm.enrollment import SHARED_IPAD_USER_ID
from appliance.wire.plist import Plist, Value
from tests.mdm.messages import CAPTURES, UDID, message, read_capture


def token_update(**changes: Value) -> TokenUpdate:
    parsed = parse_checkin(message("TokenUpdate", **changes))
    assert isinstance(parsed, TokenUpdate)
    return parsed


def test_authenticate_gives_the_first_facts() -> None:
    parsed = parse_checkin(message("Authenticate"))
    assert isinstance(parsed, Authenticate)
    assert from_authenticate(parsed) == DeviceFacts(
        serial_number="C0",
        udid=UDID,
        name="Anna's Mac",
        model="Mac14,2",
        model_name="MacBook Air",
        product_name="Mac14,2",
        os_version="15.1",
        build_version="24B83",
        imei="1",
        meid="2",
        platform="macOS",
        is_user_enrollment=False,
    )


def test_a_user_enrollment_has_no_udid() -> None:
    body = Plist({"MessageType": "Authenticate", "EnrollmentID": "E", "Topic": "t"})
    parsed = parse_checkin(body)
    assert isinstance(parsed, Authenticate)
    assert from_authenticate(parsed) == DeviceFacts(is_user_enrollment=True)


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        ("iPhone14,2", "iOS"),
        ("iPad2,5", "iOS"),
        ("iPod9,1", "iOS"),
        ("Mac14,2", "macOS"),
        ("MacBookPro18,1", "macOS"),
        ("Macmini9,1", "macOS"),
        ("iMac15,1", "macOS"),
        ("iMacPro1,1", "macOS"),
        ("VirtualMac2,1", "macOS"),
        ("VMware7,1", "macOS"),
        ("AppleTV6,2", "tvOS"),
        ("Watch6,1", "watchOS"),
        ("RealityDevice14,1", "visionOS"),
        ("Toaster1,1", None),
        ("", None),
        (None, None),
    ],
)
def test_the_product_tells_the_platform(name: str | None, platform: str | None) -> None:
    assert platform_of(name) == platform


def test_the_model_tells_the_platform_where_the_product_is_not_known() -> None:
    assert platform_of(None, "Toaster", "MacBook Air") == "macOS"


def test_device_information_overwrites_what_it_answers() -> None:
    facts = DeviceFacts(serial_number="C0", os_version="17.0", platform="iOS")
    answers: dict[str, Value] = {
        "OSVersion": "18.1",
        "DeviceName": "Lab 3",
        "ProductName": "iPad14,1",
        "IsSupervised": True,
        "IsMultiUser": True,
        "AwaitingConfiguration": False,
    }
    assert updated_by_device_information(facts, Plist(answers)) == DeviceFacts(
        serial_number="C0",
        name="Lab 3",
        os_version="18.1",
        product_name="iPad14,1",
        platform="iOS",
        is_supervised=True,
        shared_ipad=True,
        awaiting_configuration=False,
    )


def test_an_absent_empty_or_strange_answer_changes_nothing() -> None:
    facts = DeviceFacts(serial_number="C0", is_supervised=True, platform="tvOS")
    strange: dict[str, Value] = {"SerialNumber": "", "IsSupervised": "yes", "OSVersion": 1}
    assert updated_by_device_information(facts, Plist({})) == facts
    assert updated_by_device_information(facts, Plist(strange)) == facts
    assert updated_by_device_information(facts, Plist({"SerialNumber": "x" * 2000})) == facts
    assert updated_by_security_info(facts, Plist({})) == facts
    assert updated_by_security_info(facts, Plist({"ManagementStatus": "x"})) == facts
    assert updated_by_security_info(facts, Plist({"ManagementStatus": {}})) == facts


def test_security_info_tells_a_user_enrollment() -> None:
    answer = Plist({"ManagementStatus": {"IsUserEnrollment": True}})
    assert updated_by_security_info(DeviceFacts(), answer).is_user_enrollment is True


def test_a_token_update_tells_whether_setup_waits() -> None:
    body = message("TokenUpdate").value
    device = {key: value for key, value in body.items() if not key.startswith("User")}
    parsed = parse_checkin(Plist(device))
    assert isinstance(parsed, TokenUpdate)
    assert updated_by_token_update(DeviceFacts(), parsed).awaiting_configuration is True
    assert updated_by_token_update(DeviceFacts(), token_update()) == DeviceFacts()


def test_a_login_on_a_shared_ipad_tells_that_it_is_one() -> None:
    login = token_update(UserID=SHARED_IPAD_USER_ID)
    assert updated_by_token_update(DeviceFacts(), login).shared_ipad is True


@pytest.mark.parametrize("name", ["10.11.x", "iOS-11.3.1"])
def test_answers_of_real_devices_fill_the_facts(name: str) -> None:
    capture = CAPTURES / f"commandment-DeviceInformation-{name}.xml"
    if not capture.exists():
        pytest.skip("the captures are not here")
    answers = read_capture(capture).dictionary("QueryResponses")
    facts = updated_by_device_information(DeviceFacts(), answers)
    assert facts.serial_number == "C00000000004"
    assert facts.platform == {"10.11.x": "macOS", "iOS-11.3.1": "iOS"}[name]
    assert facts.os_version == {"10.11.x": "10.11.6", "iOS-11.3.1": "11.3.1"}[name]


@pytest.mark.parametrize(
    ("older", "newer"),
    [("9.3.5", "10.0"), ("10.9", "10.11.6"), ("17", "17.0.1"), ("", "1"), ("15.1", "26.0 beta")],
)
def test_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert compare_versions(older, newer) == -1
    assert compare_versions(newer, older) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("17", "17.0"), ("17.0.0", "17"), ("16.1 (a)", "16.1"), ("x", "")]
)
def test_missing_numbers_are_zero(one: str, other: str) -> None:
    assert compare_versions(one, other) == 0
