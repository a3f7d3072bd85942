"""What befalls the channels of a device: they end together, and tell of it and of its users."""

from __future__ import annotations

from appliance.mdm import device
from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.device import DeviceFacts
from appliance.store import awaited, commands, devices, enrollments, escrow, pushes
from appliance.store.database import Connection


def learn(db: Connection, message: TokenUpdate) -> None:
    """Store what a TokenUpdate tells of its device, and of the user on a user channel."""
    enrollment = message.enrollment
    if enrollment.is_user_channel:
        name = message.user_long_name or message.user_short_name
        devices.put_facts(db, enrollment.id, DeviceFacts(name=name))
    device_id = enrollment.parent_id or enrollment.id
    facts = devices.facts(db, device_id)
    if facts is None:
        return
    updated = device.updated_by_token_update(facts, message)
    if updated != facts:
        devices.put_facts(db, device_id, updated)


def end_channels(db: Connection, device_id: str, now: int) -> None:
    """Nothing that was meant for the enrollment that ends may reach the next one."""
    for channel in enrollments.channels(db, device_id):
        commands.clear(db, channel, now)
        pushes.drop(db, channel, now)
        escrow.archive(db, channel, None, now)
    awaited.remove(db, device_id)
