"""What befalls the channels of a device: they end together, and tell of it and of its users."""

from __future__ import annotations

from appliance.mdm import device
from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.device import DeviceFacts
from appliance.services.vault import Vault
from appliance.store import (
    awaited,
    certificates,
    commands,
    devices,
    enrollments,
    escrow,
    links,
    pushes,
)
from appliance.store.database import Connection


def learn(db: Connection, message: TokenUpdate) -> None:
    """Store what a TokenUpdate tells of its device, and of the user on a user channel."""
    if not device.tells_facts(message):
        return
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


def take_token(db: Connection, vault: Vault, message: TokenUpdate, now: int) -> int:
    """Store a TokenUpdate that the channel may send; return its tally, 1 if it is new."""
    enrollment_id = message.enrollment.id
    tally = enrollments.complete(db, message, now)
    pushes.reset(db, enrollment_id)
    if message.unlock_token is not None:
        keep(db, vault, enrollment_id, "unlock_token", message.unlock_token, now)
    learn(db, message)
    pushes.request_for_backlog(db, enrollment_id, now)
    return tally


def keep(
    db: Connection, vault: Vault, enrollment_id: str, kind: str, token: bytes, now: int
) -> None:
    """Escrow a token of the enrollment, sealed."""
    escrow.put(db, enrollment_id, kind, vault.seal(kind, enrollment_id, token), now)


def end_renewals(db: Connection, device_id: str, now: int, *, but: bytes | None = None) -> None:
    """Void what could still renew the device's identity: that ends, or is being renewed.

    Whoever had the former identity, a thief of it too, may have asked for more than one.

    Args:
        but: the SHA-256 of the one that has come to take its place.
    """
    certificates.revoke_unused_for(db, device_id, now)
    certificates.revoke_heirs(db, device_id, now, but=but)
    links.void_challenges_for(db, device_id)


def end_channels(db: Connection, device_id: str, now: int) -> None:
    """Nothing that was meant for the enrollment that ends may reach the next one."""
    for channel in enrollments.channels(db, device_id):
        commands.clear(db, channel, now)
        pushes.drop(db, channel, now)
        escrow.archive(db, channel, None, now)
    enrollments.end_users(db, device_id, now)
    end_renewals(db, device_id, now)
    awaited.remove(db, device_id)
