"""Apps, settings, updates, passwords: a command changes what the next answers say."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from appliance.simulator import models
from appliance.simulator.answers import Answer
from appliance.simulator.state import DeviceState, Platform
from tests.simulator.devices import NOW, acknowledged, codes, device, profile, send
from tests.simulator.test_answers_profiles import CERTIFICATE, DER, KEY

KEYNOTE = 361285480


def status_of(state: DeviceState, identifier: str) -> str:
    listed = acknowledged(state, "ManagedApplicationList")["ManagedApplicationList"]
    return str(listed[identifier]["Status"])


@pytest.mark.parametrize("platform", list(Platform))
def test_an_app_is_installing_then_managed_then_gone(platform: Platform) -> None:
    state = device(platform)
    install: dict[str, Any] = {"Identifier": "com.example.app", "ManagementFlags": 1}
    assert acknowledged(state, "InstallApplication", **install) == {
        "Identifier": "com.example.app",
        "State": "Installing",
    }
    reply = send(state, "InstallApplication", **install)
    assert codes(reply) == [12025]
    assert reply.body["RejectionReason"] == "AppAlreadyQueued"
    assert status_of(state, "com.example.app") == "Installing"
    assert status_of(state, "com.example.app") == "Managed"
    listed = acknowledged(state, "InstalledApplicationList", ManagedAppsOnly=True)
    (app,) = listed["InstalledApplicationList"]
    assert app["Identifier"] == "com.example.app"
    assert app["Installing"] is False
    acknowledged(state, "RemoveApplication", Identifier="com.example.app")
    assert acknowledged(state, "ManagedApplicationList")["ManagedApplicationList"] == {}
    assert codes(send(state, "RemoveApplication", Identifier="com.example.app")) == [12029]


def test_an_unsupervised_phone_asks_its_user_first() -> None:
    state = device(Platform.IPHONE, supervised=False)
    assert acknowledged(state, "InstallApplication", iTunesStoreID=KEYNOTE)["State"] == "Prompting"
    asked = [status_of(state, "com.apple.Keynote") for _ in range(3)]
    assert asked == ["Prompting", "Installing", "Managed"]


def test_what_the_user_installed_is_taken_over_only_on_demand() -> None:
    state = device(Platform.IPAD)
    reply = send(state, "InstallApplication", iTunesStoreID=KEYNOTE)
    assert reply.body["RejectionReason"] == "AppAlreadyInstalled"
    acknowledged(
        state, "InstallApplication", iTunesStoreID=KEYNOTE, ChangeManagementState="Managed"
    )
    assert status_of(state, "com.apple.Keynote") == "Managed"


def test_apps_that_cannot_be_installed() -> None:
    state = device(Platform.IPHONE)
    assert send(state, "InstallApplication").status == "CommandFormatError"
    both: dict[str, Any] = {"iTunesStoreID": KEYNOTE, "Identifier": "x"}
    assert send(state, "InstallApplication", **both).status == "CommandFormatError"
    assert codes(send(state, "InstallApplication", ManifestURL="http://x/a.plist")) == [12034]
    assert codes(send(state, "InstallApplication", ManifestURL="https://[x/a.plist")) == [12030]
    forbids = {"PayloadType": "com.apple.applicationaccess", "allowAppInstallation": False}
    acknowledged(state, "InstallProfile", Payload=profile(forbids))
    reply = send(state, "InstallApplication", iTunesStoreID=KEYNOTE)
    assert codes(reply) == [12031]
    assert reply.body["RejectionReason"] == "AppStoreDisabled"


def test_the_list_of_apps_holds_only_what_is_asked() -> None:
    state = device(Platform.MAC)
    body = acknowledged(
        state,
        "InstalledApplicationList",
        Identifiers=["com.apple.Safari"],
        Items=["Name", "Identifier"],
    )
    assert body["InstalledApplicationList"] == [
        {"Name": "Safari", "Identifier": "com.apple.Safari"}
    ]


def test_an_enterprise_app_comes_from_its_manifest() -> None:
    state = device(Platform.MAC)
    metadata = {"bundle-identifier": "com.example.tool", "title": "Tool", "bundle-version": "3.1"}
    manifest = {"items": [{"metadata": metadata}]}
    acknowledged(state, "InstallEnterpriseApplication", Manifest=manifest)
    listed = acknowledged(state, "InstalledApplicationList", Identifiers=["com.example.tool"])
    assert listed["InstalledApplicationList"][0]["Version"] == "3.1"
    assert codes(send(state, "InstallEnterpriseApplication", Manifest={})) == [12033]


def results(state: DeviceState, *entries: dict[str, Any]) -> list[Any]:
    body = acknowledged(state, "Settings", Settings=list(entries))
    return [
        one["ErrorChain"][0]["ErrorCode"] if one["Status"] == "Error" else one["Status"]
        for one in body["Settings"]
    ]


def information(state: DeviceState, *queries: str, now: datetime = NOW) -> dict[str, Any]:
    reply: Answer = send(state, "DeviceInformation", Queries=list(queries), now=now)
    answered: dict[str, Any] = reply.body["QueryResponses"]
    return answered


def test_each_setting_has_its_own_result_and_shows() -> None:
    state = device(Platform.IPHONE)
    assert results(
        state,
        {"Item": "DeviceName", "DeviceName": "front-desk"},
        {"Item": "Espresso"},
        {"Item": "TimeZone", "TimeZone": "Europe/Paris"},
        {"Item": "HostName", "HostName": "x"},
        {"Item": "DeviceName"},
        {"Item": "DataRoaming", "Enabled": True},
        {"Item": "Wallpaper", "Image": b"no image", "Where": 1},
        {"Item": "ApplicationConfiguration", "Identifier": "com.example.none"},
        {"Item": "OrganizationInfo", "OrganizationInfo": {"OrganizationName": "Office"}},
    ) == [
        *("Acknowledged", 28000, "Acknowledged", 28000, 12008),
        *("Acknowledged", 28001, 12029, "Acknowledged"),
    ]
    assert information(
        state, "DeviceName", "TimeZone", "DataRoamingEnabled", "OrganizationInfo"
    ) == {
        "DeviceName": "front-desk",
        "TimeZone": "Europe/Paris",
        "DataRoamingEnabled": True,
        "OrganizationInfo": {"OrganizationName": "Office"},
    }
    assert results(state, {"Item": "VoiceRoaming", "Enabled": False}) == ["Acknowledged"]
    assert information(state, "DataRoamingEnabled") == {"DataRoamingEnabled": False}


def test_an_unsupervised_phone_keeps_its_name_but_a_mac_takes_one() -> None:
    entry = {"Item": "DeviceName", "DeviceName": "renamed"}
    phone = device(Platform.IPHONE, supervised=False)
    assert results(phone, entry) == [29000]
    assert information(phone, "DeviceName") != {"DeviceName": "renamed"}
    mac = device(Platform.MAC, supervised=False)
    assert results(mac, entry) == ["Acknowledged"]
    assert information(mac, "DeviceName") == {"DeviceName": "renamed"}


def test_the_configuration_of_an_app_can_be_read_back() -> None:
    state = device(Platform.IPAD)
    acknowledged(state, "InstallApplication", Identifier="com.example.app")
    configuration = {"server": "https://x.example"}
    entry = {
        "Item": "ApplicationConfiguration",
        "Identifier": "com.example.app",
        "Configuration": configuration,
    }
    assert results(state, entry) == ["Acknowledged"]
    body = acknowledged(state, "ManagedApplicationConfiguration", Identifiers=["com.example.app"])
    assert body["ApplicationConfigurations"] == [
        {"Identifier": "com.example.app", "Configuration": configuration}
    ]


OLD: dict[str, Any] = {"os_version": "26.6.1", "build_version": "23G80", "battery": None}


@pytest.mark.parametrize("platform", list(Platform))
def test_an_update_downloads_and_installs(platform: Platform) -> None:
    state = device(platform, **OLD)
    newest = models.newest(platform)
    (offered,) = acknowledged(state, "AvailableOSUpdates")["AvailableOSUpdates"]
    assert offered["Version"] == newest.version
    wanted = {"ProductKey": offered["ProductKey"], "InstallAction": "Default"}
    (result,) = acknowledged(state, "ScheduleOSUpdate", Updates=[wanted])["UpdateResults"]
    assert (result["InstallAction"], result["Status"]) == ("InstallASAP", "Downloading")
    percents = []
    for seconds in (0, 60, 130):
        reply = send(state, "OSUpdateStatus", now=NOW + timedelta(seconds=seconds))
        (progress,) = reply.body["OSUpdateStatus"]
        percents.append(progress["DownloadPercentComplete"])
    assert percents == [0.0, 0.5, 1.0]
    assert information(state, "OSVersion") == {"OSVersion": "26.6.1"}
    later = NOW + timedelta(minutes=5)
    assert information(state, "OSVersion", "BuildVersion", now=later) == {
        "OSVersion": newest.version,
        "BuildVersion": newest.build,
    }
    assert acknowledged(state, "AvailableOSUpdates")["AvailableOSUpdates"] == []
    assert acknowledged(state, "OSUpdateStatus")["OSUpdateStatus"] == []


def test_updates_that_do_not_start() -> None:
    state = device(Platform.IPHONE, **{**OLD, "battery": 0.09})
    for wanted, code in (
        ({"ProductVersion": "99.0", "InstallAction": "Default"}, 12048),
        ({"ProductVersion": "27.1", "InstallAction": "InstallASAP"}, 12061),
    ):
        (result,) = acknowledged(state, "ScheduleOSUpdate", Updates=[wanted])["UpdateResults"]
        assert result["InstallAction"] == "Error"
        assert result["ErrorChain"][0]["ErrorCode"] == code
    bad = send(state, "ScheduleOSUpdate", Updates=[{"ProductKey": "x"}])
    assert bad.status == "CommandFormatError"


def test_an_intel_mac_ends_with_macos_26() -> None:
    state = device(Platform.MAC, **OLD)
    assert state.mac
    state.mac.apple_silicon = False
    state.build_version = models.MACOS_26_6.build
    assert acknowledged(state, "AvailableOSUpdates")["AvailableOSUpdates"] == []


def test_recovery_lock() -> None:
    state = device(Platform.MAC)
    acknowledged(state, "SetRecoveryLock", NewPassword="first")
    assert acknowledged(state, "SecurityInfo")["SecurityInfo"]["IsRecoveryLockEnabled"] is True
    assert acknowledged(state, "VerifyRecoveryLock", Password="first")["PasswordVerified"] is True
    assert acknowledged(state, "VerifyRecoveryLock", Password="other")["PasswordVerified"] is False
    assert send(state, "SetRecoveryLock", NewPassword="second").status == "Error"
    acknowledged(state, "SetRecoveryLock", CurrentPassword="first", NewPassword="")
    assert acknowledged(state, "SecurityInfo")["SecurityInfo"]["IsRecoveryLockEnabled"] is False
    assert codes(send(state, "SetFirmwarePassword", NewPassword="x")) == [12021]


def test_firmware_password_of_an_intel_mac() -> None:
    state = device(Platform.MAC)
    assert state.mac
    state.mac.apple_silicon = False
    changed = acknowledged(state, "SetFirmwarePassword", NewPassword="first")
    assert changed == {"SetFirmwarePassword": {"PasswordChanged": True}}
    status = acknowledged(state, "SecurityInfo")["SecurityInfo"]["FirmwarePasswordStatus"]
    assert status["PasswordExists"] is True
    verified = acknowledged(state, "VerifyFirmwarePassword", Password="first")
    assert verified == {"VerifyFirmwarePassword": {"PasswordVerified": True}}
    refused = acknowledged(state, "SetFirmwarePassword", NewPassword="second")
    assert refused == {"SetFirmwarePassword": {"PasswordChanged": False}}
    assert codes(send(state, "SetRecoveryLock", NewPassword="x")) == [12021]


def test_a_rotated_filevault_key_is_new_and_sealed_for_us() -> None:
    state = device(Platform.MAC)
    rotate: dict[str, Any] = {
        "KeyType": "personal",
        "FileVaultUnlock": {"Password": "secret"},
        "ReplyEncryptionCertificate": DER,
    }
    assert send(state, "RotateFileVaultKey", **rotate).status == "Error"  # FileVault is off
    filevault = {"PayloadType": "com.apple.MCX.FileVault2", "Enable": "On"}
    acknowledged(state, "InstallProfile", Payload=profile(filevault))
    keys = set()
    for _ in range(3):
        sealed = acknowledged(state, "RotateFileVaultKey", **rotate)["RotateResult"]
        opened = pkcs7.pkcs7_decrypt_der(sealed["EncryptedNewRecoveryKey"], CERTIFICATE, KEY, [])
        assert re.fullmatch(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){5}", opened.decode())
        keys.add(opened)
    assert len(keys) == 3


def test_activation_lock_bypass_code_is_told_until_it_is_cleared() -> None:
    state = device(Platform.IPHONE)
    state.bypass_code = "008K4-DU4AN-L7G2-4TNA-XWTQ-GFZ7"
    told = acknowledged(state, "ActivationLockBypassCode")
    assert told == {"ActivationLockBypassCode": state.bypass_code}
    acknowledged(state, "ClearActivationLockBypassCode")
    assert send(state, "ActivationLockBypassCode").status == "Error"


def test_remote_desktop_and_books() -> None:
    mac = device(Platform.MAC)
    acknowledged(mac, "EnableRemoteDesktop")
    assert acknowledged(mac, "SecurityInfo")["SecurityInfo"]["RemoteDesktopEnabled"] is True
    acknowledged(mac, "DisableRemoteDesktop")
    assert acknowledged(mac, "SecurityInfo")["SecurityInfo"]["RemoteDesktopEnabled"] is False
    pad = device(Platform.IPAD)
    acknowledged(pad, "InstallMedia", MediaType="Book", iTunesStoreID=5)
    (book,) = acknowledged(pad, "ManagedMediaList")["Books"]
    assert (book["iTunesStoreID"], book["State"]) == (5, "Installed")
    acknowledged(pad, "RemoveMedia", MediaType="Book", iTunesStoreID="5")
    assert acknowledged(pad, "ManagedMediaList")["Books"] == []
    assert codes(send(pad, "InstallMedia", MediaType="Film", iTunesStoreID=5)) == [12044]
