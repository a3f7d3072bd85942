"""What an answer changes beside its command: the device's row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.mdm import device
from appliance.mdm.command import SECRET_KEYS, CommandResult, Status
from appliance.mdm.device import DeviceFacts
from appliance.store import devices
from appliance.store.database import Connection
from appliance.wire import plist
from appliance.wire.plist import Plist


def apply_result(db: Connection, result: CommandResult, request_type: str, now: int) -> None:
    """Let an acknowledged answer change what is known of its device."""
    if result.status is not Status.ACKNOWLEDGED:
        return
    effect = _EFFECTS.get(request_type)
    if effect is None:
        return
    value = result.body.value.get(effect.key)
    facts = devices.facts(db, result.enrollment.id)
    # Refusing an answer of another type would make the device repeat it for ever.
    if not isinstance(value, dict) or facts is None:
        return
    answer = Plist(value)
    updated = effect.update(facts, answer)
    if updated != facts:
        devices.put_facts(db, result.enrollment.id, updated)
    effect.keep(db, result.enrollment.id, _as_json(answer), now)


@dataclass(frozen=True, slots=True)
class _Effect:
    key: str  # where the answer stands in the report
    update: Callable[[DeviceFacts, Plist], DeviceFacts]
    keep: Callable[[Connection, str, dict[str, Any], int], None]


_EFFECTS = {
    "DeviceInformation": _Effect(
        "QueryResponses", device.updated_by_device_information, devices.put_information
    ),
    "SecurityInfo": _Effect("SecurityInfo", device.updated_by_security_info, devices.put_security),
}


def _as_json(answer: Plist) -> dict[str, plist.Json]:
    # What unlocks a device stays in the sealed answer.
    return {k: plist.to_json(v) for k, v in answer.value.items() if k not in SECRET_KEYS}
