"""An enrollment is named by what the device sends, unchanged."""

from __future__ import annotations

import pytest

from appliance.errors import MalformedMessage
from appliance.mdm.enrollment import SHARED_IPAD_USER_ID, EnrollmentID, EnrollmentType
from appliance.wire.plist import Plist, Value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"UDID": "aB-1"}, ("aB-1", None, "Device")),
        ({"UDID": "D", "EnrollmentID": "E"}, ("D", None, "Device")),
        ({"UDID": "D", "UserID": "U", "UserShortName": "s"}, ("D:U", "D", "User")),
        (
            {"UDID": "D", "UserID": SHARED_IPAD_USER_ID, "UserShortName": "anna@example.com"},
            ("D:anna@example.com", "D", "Shared iPad"),
        ),
        ({"EnrollmentID": "E"}, ("E", None, "User Enrollment (Device)")),
        ({"EnrollmentID": "E", "EnrollmentUserID": "U"}, ("E:U", "E", "User Enrollment")),
        ({"UDID": "D", "UserShortName": "s"}, ("D", None, "Device")),
    ],
)
def test_each_channel_has_its_own_identifier(
    body: dict[str, Value], expected: tuple[str, str | None, str]
) -> None:
    enrollment = EnrollmentID.from_plist(Plist(body))
    assert (enrollment.id, enrollment.parent_id, str(enrollment.type)) == expected
    assert str(enrollment) == enrollment.id
    assert enrollment.device_id == (expected[1] or expected[0])
    assert enrollment.is_user_channel == (expected[1] is not None)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "UDID"),
        ({"UserID": "U"}, "UDID"),
        ({"UDID": ""}, "UDID"),
        ({"UDID": ["D"]}, "UDID"),
        ({"UDID": 1}, "UDID"),
        ({"UDID": "D" * 256}, "UDID"),
        ({"UDID": "D\n"}, "UDID"),
        ({"UDID": " "}, "UDID"),
        ({"UDID": "D\u202eD"}, "UDID"),
        ({"UDID": "D\u2028D"}, "UDID"),
        ({"UDID": "D:U"}, "UDID"),
        ({"UDID": ".."}, "UDID"),
        ({"EnrollmentID": ""}, "EnrollmentID"),
        ({"EnrollmentID": "E:U"}, "EnrollmentID"),
        ({"EnrollmentID": "E", "EnrollmentUserID": "\x1b]0;"}, "EnrollmentUserID"),
        ({"UDID": "D", "UserID": ""}, "UserID"),
        ({"UDID": "D", "UserID": "U" * 256}, "UserID"),
        ({"UDID": "D", "UserID": SHARED_IPAD_USER_ID}, "UserShortName"),
        ({"UDID": "D", "UserID": SHARED_IPAD_USER_ID, "UserShortName": ""}, "UserShortName"),
    ],
)
def test_a_claim_that_names_nobody_is_refused(body: dict[str, Value], key: str) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        EnrollmentID.from_plist(Plist(body))
    assert refusal.value.key == key


def test_a_long_identifier_and_user_are_accepted() -> None:
    enrollment = EnrollmentID.from_plist(Plist({"UDID": "D" * 255, "UserID": "U" * 255}))
    assert len(enrollment.id) == 511


def test_equal_claims_are_the_same_enrollment() -> None:
    one, other = (EnrollmentID.from_plist(Plist({"UDID": "D"})) for _ in range(2))
    assert {one: 1}[other] == 1
    assert one.type is EnrollmentType.DEVICE
