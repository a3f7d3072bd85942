"""Parameters are refused with an error that names the key, before anything is queued."""

from __future__ import annotations

import base64
import plistlib
from typing import Any

import pytest

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue import build_command, catalogue
from tests.mdm.catalogue_samples import sample_parameters


def refusal(request_type: str, parameters: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        build_command(request_type, parameters)
    return refused.value


def settings(*items: dict[str, Any]) -> dict[str, Any]:
    return {"Settings": list(items)}


REFUSED = [
    # request type, parameters, code, pointer, part of the sentence or of the fix
    ("InstallProfile", {}, "missing", "/Payload", "Payload: is required"),
    ("InstallProfile", {"Payload": "not base64!"}, "value", "/Payload", "is not base64"),
    ("InstallProfile", {"Payload": 5}, "type", "/Payload", "data in base64, not an integer"),
    ("RestartDevice", {"NotifyUsr": True}, "unknown", "/NotifyUsr", "did you mean NotifyUser?"),
    ("RestartDevice", {"NotifyUser": "yes"}, "type", "/NotifyUser", "true or false, not a text"),
    ("RestartDevice", {"NotifyUser": None}, "type", "/NotifyUser", "not null"),
    ("RestartDevice", {"NotifyUser": 1}, "type", "/NotifyUser", "not an integer"),
    ("RestartDevice", {"KextPaths": "/x"}, "type", "/KextPaths", "must be a list"),
    ("RestartDevice", {"KextPaths": ["/x", 1]}, "type", "/KextPaths/1", "KextPaths[1]"),
    ("ShutDownDevice", {"a/b": 1}, "unknown", "/a~1b", "RequestRequiresNetworkTether"),
    ("DeviceLock", {"PIN": 123456}, "type", "/PIN", "must be a text"),
    ("DeviceLock", {"PIN": "12345"}, "value", "/PIN", "must have 6 characters"),
    ("DeviceLock", {"Message": "a\x00b"}, "value", "/Message", "XML cannot carry"),
    ("DeviceLock", {"Message": "\ud800"}, "value", "/Message", "XML cannot carry"),
    ("EraseDevice", {"ObliterationBehavior": "Never"}, "value", "/ObliterationBehavior", "Always"),
    ("EraseDevice", {"ReturnToService": {}}, "missing", "/ReturnToService/Enabled", "Enabled"),
    ("EnableLostMode", {"Footnote": "x"}, "missing", "/Message", "Message or PhoneNumber"),
    ("DeleteUser", {"DeleteAllUsers": False}, "missing", "/UserName", "unless DeleteAllUsers"),
    ("RequestMirroring", {}, "missing", "/DestinationName", "DestinationDeviceID"),
    (
        "RequestMirroring",
        {"DestinationName": "TV", "ScanTime": 5},
        "value",
        "/ScanTime",
        "between 10 and 300",
    ),
    ("InstallApplication", {}, "missing", "/iTunesStoreID", "exactly one of"),
    (
        "InstallApplication",
        {"iTunesStoreID": 1, "Identifier": "x"},
        "value",
        "/Identifier",
        "excludes iTunesStoreID",
    ),
    ("InstallApplication", {"iTunesStoreID": True}, "type", "/iTunesStoreID", "an integer"),
    ("InstallApplication", {"iTunesStoreID": 1.0}, "type", "/iTunesStoreID", "an integer"),
    ("InstallApplication", {"iTunesStoreID": 1 << 70}, "value", "/iTunesStoreID", "64 bits"),
    ("InstallApplication", {"ManifestURL": "http://x"}, "value", "/ManifestURL", "https://"),
    (
        "InstallApplication",
        {"Identifier": "x", "Configuration": {"a": [None]}},
        "type",
        "/Configuration/a/0",
        "a plist cannot carry null",
    ),
    (
        "InstallApplication",
        {"Identifier": "x", "ManagementFlags": 2},
        "value",
        "/ManagementFlags",
        "one of: 1, 4, 5",
    ),
    ("DeviceInformation", {}, "missing", "/Queries", "give a list"),
    ("DeviceInformation", {"Queries": []}, "value", "/Queries", "1 to 1000"),
    (
        "DeviceInformation",
        {"Queries": ["UDID", "SerialNumbr"]},
        "value",
        "/Queries/1",
        "did you mean SerialNumber?",
    ),
    (
        "DeviceInformation",
        {"Queries": ["UDID"], "DeviceAttestationNonce": base64.b64encode(bytes(33)).decode()},
        "value",
        "/DeviceAttestationNonce",
        "0 to 32 bytes",
    ),
    ("Settings", settings({}), "missing", "/Settings/0/Item", "Wallpaper"),
    ("Settings", settings({"Item": 1}), "type", "/Settings/0/Item", "must be a text"),
    (
        "Settings",
        settings({"Item": "Devicename"}),
        "value",
        "/Settings/0/Item",
        "did you mean DeviceName?",
    ),
    (
        "Settings",
        settings({"Item": "Bluetooth", "Enabled": True}, {"Item": "DeviceName", "DeviceName": 1}),
        "type",
        "/Settings/1/DeviceName",
        "Settings[1].DeviceName: must be a text",
    ),
    (
        "ScheduleOSUpdate",
        {"Updates": [{"InstallAction": "Default"}]},
        "missing",
        "/Updates/0/ProductKey",
        "ProductKey or ProductVersion",
    ),
    (
        "RotateFileVaultKey",
        {"KeyType": "personal", "FileVaultUnlock": {}},
        "missing",
        "/FileVaultUnlock/Password",
        "Password",
    ),
]


@pytest.mark.parametrize(("request_type", "parameters", "aspect", "pointer", "part"), REFUSED)
def test_the_error_names_the_key(
    request_type: str, parameters: dict[str, Any], aspect: str, pointer: str, part: str
) -> None:
    error = refusal(request_type, parameters)
    assert error.code == f"command.parameter_{aspect}"
    assert error.pointer == f"/parameters{pointer}"
    assert part in f"{error.problem} {error.fix}"


@pytest.mark.parametrize("request_type", catalogue())
def test_each_required_key_is_missed_by_name(request_type: str) -> None:
    spec = catalogue()[request_type]
    for name in spec.required_keys:
        parameters = sample_parameters(spec)
        del parameters[name]
        error = refusal(request_type, parameters)
        assert error.code == "command.parameter_missing"
        assert error.pointer == f"/parameters/{name}"


@pytest.mark.parametrize("request_type", catalogue())
def test_no_command_takes_a_key_that_is_not_apples(request_type: str) -> None:
    parameters = sample_parameters(catalogue()[request_type]) | {"RequestType": request_type}
    assert refusal(request_type, parameters).code == "command.parameter_unknown"


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        build_command("ShutDownDevice", ["x"])  # type: ignore[arg-type]
    assert refused.value.pointer == "/parameters"


def test_data_may_come_as_base64_or_as_bytes() -> None:
    payload = b"<plist/>"
    text = base64.encodebytes(payload).decode()
    assert build_command("InstallProfile", {"Payload": text})["Payload"] == payload
    assert build_command("InstallProfile", {"Payload": payload})["Payload"] == payload


def test_free_dictionaries_keep_their_types_and_order() -> None:
    configuration = {"z": 1, "a": [True, 2.5, {"é": "x"}]}
    parameters = {"Identifier": "com.example", "Configuration": configuration}
    command = build_command("InstallApplication", parameters)
    assert plistlib.loads(plistlib.dumps(command))["Configuration"] == configuration
    assert list(command["Configuration"]) == ["z", "a"]


def test_any_command_may_ask_for_a_tethered_network() -> None:
    parameters = {"RequestRequiresNetworkTether": True}
    assert build_command("RestartDevice", parameters) == {
        "RequestType": "RestartDevice",
        "RequestRequiresNetworkTether": True,
    }


def test_deep_nesting_is_refused_before_the_stack_ends() -> None:
    nested: dict[str, Any] = {}
    for _ in range(10_000):
        nested = {"a": nested}
    error = refusal("InstallApplication", {"Identifier": "x", "Configuration": nested})
    assert error.code == "command.parameter_value"
    assert "nested deeper" in error.problem
