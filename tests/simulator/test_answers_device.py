"""Lock, erase, restart, Lost Mode, accounts: what a person would see of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from appliance.simulator.answers import After, adopt, answer
from appliance.simulator.state import Platform
from tests.simulator.devices import NOW, acknowledged, codes, device, profile, send

MOBILE = [Platform.IPHONE, Platform.IPAD]
# Apple: iOS never answers NotNow to these.
NEVER_NOT_NOW: list[tuple[str, dict[str, Any]]] = [
    ("DeviceInformation", {"Queries": ["DeviceName"]}),
    ("ProfileList", {}),
    ("DeviceLock", {}),
    ("EraseDevice", {}),
    ("ClearPasscode", {"UnlockToken": b"x"}),
    ("ProvisioningProfileList", {}),
    ("InstalledApplicationList", {}),
    ("Restrictions", {}),
]
NEEDS_UNLOCKING: list[tuple[str, dict[str, Any]]] = [
    ("InstallProfile", {"Payload": profile()}),
    ("RemoveProfile", {"Identifier": "x"}),
    ("InstallApplication", {"iTunesStoreID": 361285480}),
    ("Settings", {"Settings": [{"Item": "DeviceName", "DeviceName": "x"}]}),
]
AWAKE_ON_A_MAC: list[tuple[str, dict[str, Any]]] = [
    ("DeviceLock", {"PIN": "123456"}),
    ("EraseDevice", {}),
    ("RestartDevice", {}),
    ("UserList", {}),
    ("ActivationLockBypassCode", {}),
]


@pytest.mark.parametrize(("request_type", "keys"), NEVER_NOT_NOW)
def test_a_locked_phone_still_answers(request_type: str, keys: dict[str, Any]) -> None:
    state = device(Platform.IPHONE, locked=True, passcode=True)
    assert send(state, request_type, **keys).status != "NotNow"


@pytest.mark.parametrize(("request_type", "keys"), NEEDS_UNLOCKING)
def test_a_locked_phone_puts_off_what_needs_its_user(
    request_type: str, keys: dict[str, Any]
) -> None:
    state = device(Platform.IPHONE, locked=True, passcode=True)
    before = acknowledged(state, "ProfileList"), state.device_name
    assert send(state, request_type, **keys).status == "NotNow"
    assert (acknowledged(state, "ProfileList"), state.device_name) == before
    state.locked = False
    assert send(state, request_type, **keys).status != "NotNow"


def test_a_sleeping_mac_answers_little() -> None:
    state = device(Platform.MAC, locked=True)
    for request_type, keys in AWAKE_ON_A_MAC:
        assert send(state, request_type, **keys).status == "Acknowledged"
    assert send(state, "DeviceInformation", Queries=["UDID"]).status == "NotNow"
    assert send(state, "SecurityInfo").status == "NotNow"


def test_locking_locks() -> None:
    phone = device(Platform.IPHONE, passcode=True)
    assert acknowledged(phone, "DeviceLock")["MessageResult"] == "Success"
    assert send(phone, "InstallProfile", Payload=profile()).status == "NotNow"
    open_phone = device(Platform.IPHONE, passcode=False)
    assert acknowledged(open_phone, "DeviceLock")["MessageResult"] == "NoPasscodeSet"
    mac = device(Platform.MAC)
    assert codes(send(mac, "DeviceLock")) == [12008]
    acknowledged(mac, "DeviceLock", PIN="123456")
    assert send(mac, "SecurityInfo").status == "NotNow"


def test_clearing_the_passcode_needs_the_unlock_token_and_opens_the_phone() -> None:
    state = device(Platform.IPHONE, passcode=True, locked=True)
    assert codes(send(state, "ClearPasscode", UnlockToken=b"wrong")) == [5013]
    assert acknowledged(state, "SecurityInfo")["SecurityInfo"]["PasscodePresent"] is True
    acknowledged(state, "ClearPasscode", UnlockToken=state.unlock_token)
    assert acknowledged(state, "SecurityInfo")["SecurityInfo"]["PasscodePresent"] is False
    assert send(state, "InstallProfile", Payload=profile()).status == "Acknowledged"


@pytest.mark.parametrize("platform", list(Platform))
def test_what_follows_is_told(platform: Platform) -> None:
    state = device(platform)
    assert send(state, "EraseDevice").after is After.ERASE
    assert send(state, "RestartDevice").after is After.RESTART
    assert send(state, "DeclarativeManagement").after is After.DECLARATIONS
    shut_down = send(state, "ShutDownDevice")
    if platform is Platform.APPLE_TV:
        assert codes(shut_down) == [12021]
    else:
        assert shut_down.after is After.SHUT_DOWN


@pytest.mark.parametrize("platform", [*MOBILE, Platform.APPLE_TV])
def test_only_a_supervised_device_restarts(platform: Platform) -> None:
    reply = send(device(platform, supervised=False), "RestartDevice")
    assert codes(reply) == [29000]
    assert reply.after is After.NOTHING
    assert send(device(Platform.MAC, supervised=False), "RestartDevice").after is After.RESTART


@pytest.mark.parametrize("platform", MOBILE)
def test_lost_mode(platform: Platform) -> None:
    state = device(platform)
    assert codes(send(state, "DeviceLocation")) == [12067]
    assert codes(send(state, "DisableLostMode")) == [12067]
    acknowledged(state, "EnableLostMode", Message="Please call", PhoneNumber="+81 3 1234 5678")
    queries = {"Queries": ["IsMDMLostModeEnabled"]}
    information = acknowledged(state, "DeviceInformation", **queries)
    assert information["QueryResponses"] == {"IsMDMLostModeEnabled": True}
    place = acknowledged(state, "DeviceLocation")
    assert place == acknowledged(state, "DeviceLocation")
    assert abs(place["Latitude"]) <= 90
    assert codes(send(state, "CertificateList")) == [12078]
    acknowledged(state, "PlayLostModeSound")
    acknowledged(state, "DisableLostMode")
    assert send(state, "CertificateList").status == "Acknowledged"


def test_lost_mode_needs_supervision_and_something_to_show() -> None:
    unsupervised = device(Platform.IPHONE, supervised=False)
    assert codes(send(unsupervised, "EnableLostMode", Message="x")) == [12066, 29000]
    assert codes(send(device(Platform.IPHONE), "EnableLostMode")) == [12066]
    assert codes(send(device(Platform.MAC), "EnableLostMode", Message="x")) == [12021]


def test_a_right_that_the_profile_did_not_grant_is_missing() -> None:
    state = device(Platform.IPHONE)
    mdm = {
        "PayloadType": "com.apple.mdm",
        "IdentityCertificateUUID": "x",
        "Topic": "com.apple.mgmt.External.1",
        "ServerURL": "https://mdm.example/mdm",
        "AccessRights": 16,
    }
    adopt(state, profile(mdm, identifier="com.example.enroll"), b"")
    assert codes(send(state, "SecurityInfo")) == [12007]
    asked = ["DeviceName", "WiFiMAC", "UDID"]
    answered = acknowledged(state, "DeviceInformation", Queries=asked)["QueryResponses"]
    assert set(answered) == {"DeviceName", "UDID"}
    reply = send(state, "RemoveProfile", Identifier="com.example.enroll")
    assert reply.after is After.UNENROLL


def test_information_answers_exactly_what_is_asked_and_known() -> None:
    state = device(Platform.MAC)
    asked = ["OSVersion", "IMEI", "FavoriteColor", "SerialNumber"]
    assert acknowledged(state, "DeviceInformation", Queries=asked)["QueryResponses"] == {
        "OSVersion": state.os_version,
        "SerialNumber": state.serial_number,
    }


def test_the_battery_falls_with_time_and_never_below_empty() -> None:
    state = device(Platform.IPHONE, battery=0.5)
    levels = []
    for hours in range(48):
        reply = send(
            state, "DeviceInformation", Queries=["BatteryLevel"], now=NOW + timedelta(hours=hours)
        )
        levels.append(reply.body["QueryResponses"]["BatteryLevel"])
    assert levels[:3] == [0.5, 0.46, 0.42]
    assert all(0 < level <= 0.5 for level in levels)


def test_the_user_channel_of_a_mac_has_its_own_commands_and_token() -> None:
    state = device(Platform.MAC)

    def on_user_channel(request_type: str, **keys: Any) -> object:
        reply = answer(state, {"RequestType": request_type, **keys}, NOW, user_channel=True)
        return reply.body if reply.status == "Acknowledged" else codes(reply)

    asked = {"Queries": ["PushToken"]}
    assert on_user_channel("DeviceInformation", **asked) == {
        "QueryResponses": {"PushToken": state.push_token}
    }
    assert acknowledged(state, "DeviceInformation", **asked) == {"QueryResponses": {}}
    assert on_user_channel("DeviceLock", PIN="123456") == [12021]
    assert on_user_channel("EraseDevice") == [12021]
    assert on_user_channel("SecurityInfo") == {"SecurityInfo": {}}
    assert codes(send(state, "NSExtensionMappings")) == [12021]
    assert on_user_channel("NSExtensionMappings")


def test_accounts_of_a_mac() -> None:
    state = device(Platform.MAC, ade=True, awaiting_configuration=True)
    admin = {"shortName": "itadmin", "fullName": "IT", "passwordHash": b"hash"}
    acknowledged(state, "AccountConfiguration", AutoSetupAdminAccounts=[admin])
    users = {user["UserName"]: user for user in acknowledged(state, "UserList")["Users"]}
    assert users["itadmin"]["IsLoggedIn"] is False
    asked = {"Queries": ["AutoSetupAdminAccounts"]}
    (told,) = acknowledged(state, "DeviceInformation", **asked)["QueryResponses"][
        "AutoSetupAdminAccounts"
    ]
    assert told == {"GUID": users["itadmin"]["UserGUID"], "shortName": "itadmin"}
    acknowledged(state, "SetAutoAdminPassword", GUID=told["GUID"], passwordHash=b"hash")
    acknowledged(state, "DeviceConfigured")
    assert codes(send(state, "DeviceConfigured")) == [12010]
    present = next(name for name in users if name != "itadmin")
    assert codes(send(state, "DeleteUser", UserName=present)) == [12072]
    assert codes(send(state, "DeleteUser", UserName="nobody")) == [12071]
    assert codes(send(state, "UnlockUserAccount", UserName="nobody")) == [12071]
    assert send(state, "DeleteUser").status == "CommandFormatError"
    acknowledged(state, "DeleteUser", UserName="itadmin")
    assert [user["UserName"] for user in acknowledged(state, "UserList")["Users"]] == [present]


def test_the_last_administrator_stays() -> None:
    state = device(Platform.MAC)
    state.users[0].logged_in = False
    assert codes(send(state, "DeleteUser", UserName=state.users[0].short_name)) == [12074]


def test_only_ade_sets_accounts_up() -> None:
    assert codes(send(device(Platform.MAC), "AccountConfiguration"))[0] == 12007
    assert codes(send(device(Platform.IPHONE), "DeviceConfigured"))[0] == 12007
