"""Every request type with parameters that mean something to a device."""

from __future__ import annotations

import base64
import plistlib
from datetime import datetime
from typing import Any

from appliance.mdm.catalogue import build_command, catalogue, device_information_queries
from tests.mdm.catalogue_samples import sample_parameters
from tests.simulator.devices import profile

PROVISIONING = plistlib.dumps({"Name": "n", "UUID": "u", "ExpirationDate": datetime(2027, 1, 1)})
WIFI = {"PayloadType": "com.apple.wifi.managed", "SSID_STR": "HQ"}
# Values that mean something to a device, instead of a sample's names.
MEANINGFUL: dict[str, dict[str, Any]] = {
    "DeviceInformation": {"Queries": list(device_information_queries())},
    "InstallEnterpriseApplication": {
        "Manifest": {"items": [{"metadata": {"bundle-identifier": "com.example.app"}}]}
    },
    "InstallProfile": {"Payload": profile(WIFI)},
    "InstallProvisioningProfile": {"ProvisioningProfile": PROVISIONING},
    "InviteToProgram": {"InvitationURL": "https://vpp.example/invitation"},
    "RemoveProfile": {"Identifier": "com.example.p"},
}


def command(request_type: str) -> dict[str, Any]:
    """Return a valid command as our own server would build it."""
    built = build_command(request_type, sample_parameters(catalogue()[request_type]))
    return {**built, **MEANINGFUL.get(request_type, {})}


def parameters(request_type: str) -> dict[str, Any]:
    """Return the same parameters as the API takes them: in JSON, data as base64."""
    meaningful = {
        key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for key, value in MEANINGFUL.get(request_type, {}).items()
    }
    return {**sample_parameters(catalogue()[request_type]), **meaningful}
