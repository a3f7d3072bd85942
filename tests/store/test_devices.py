"""Devices: what they are called."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.device import DeviceFacts
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import devices, enrollments
from appliance.store.database import Database
from tests.web.api_client import NOW, TOPIC, enroll


async def test_the_serial_number_of_a_users_channel_names_its_device(
    database: Database, tmp_path: Path
) -> None:
    """Where a release of before has stored one for the channel."""
    user = EnrollmentID(id="A:1", parent_id="A", type=EnrollmentType.USER)
    update = TokenUpdate(enrollment=user, topic=TOPIC, push_magic="magic", token=b"token")
    with closing(sqlite3.connect(tmp_path / "appliance.db")) as db, db:
        enroll(db, "A", "Mac")
        enrollments.complete(db, update, NOW)
        devices.put_facts(db, "A:1", DeviceFacts(serial_number="SERIAL-A"))
    assert await database.read(lambda db: devices.find_id(db, "SERIAL-A")) == "A"
    assert await database.read(lambda db: devices.find_id(db, "A:1")) == "A:1"
