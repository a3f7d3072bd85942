"""Our own server takes what simulated devices answer and knows the device from it."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from appliance.mdm.catalogue import device_information_queries
from appliance.mdm.command import parse_result
from appliance.mdm.device import DeviceFacts
from appliance.services.results import apply_result
from appliance.simulator.state import Platform
from appliance.store import devices
from appliance.store.database import Connection, Database
from appliance.wire.plist import loads
from tests.simulator.devices import acknowledged, device

NAMES = {Platform.MAC: "macOS", Platform.APPLE_TV: "tvOS"}
_ENROLLMENT = "INSERT INTO enrollments (id, type, state, last_seen_at) VALUES (?, ?, ?, 0)"


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize("platform", list(Platform))
async def test_information_and_security_reach_the_row_of_the_device(
    platform: Platform, supervised: bool, tmp_path: Path
) -> None:
    state = device(platform, supervised=supervised)
    bodies = {
        "DeviceInformation": acknowledged(
            state, "DeviceInformation", Queries=list(device_information_queries())
        ),
        "SecurityInfo": acknowledged(state, "SecurityInfo"),
    }

    def unit(db: Connection) -> tuple[DeviceFacts | None, devices.DeviceDetails | None]:
        db.execute(_ENROLLMENT, (state.udid, "device", "enrolled"))
        devices.put_facts(db, state.udid, DeviceFacts())
        for request_type, body in bodies.items():
            keys = {"UDID": state.udid, "Status": "Acknowledged", "CommandUUID": "1"}
            report = parse_result(loads(plistlib.dumps({**keys, **body})))
            apply_result(db, report, request_type, 1)
        return devices.facts(db, state.udid), devices.details(db, state.udid)

    database = await Database.open(tmp_path / "appliance.db")
    try:
        facts, details = await database.write(unit)
    finally:
        await database.close()
    assert facts is not None
    assert facts.name == state.device_name
    assert facts.serial_number == state.serial_number
    assert facts.os_version == state.os_version
    assert facts.is_supervised == supervised
    assert facts.imei == state.imei
    assert facts.platform == NAMES.get(platform, "iOS")
    assert details is not None
    assert details.information
    assert details.security
    assert details.security["ManagementStatus"]["IsUserEnrollment"] is False
