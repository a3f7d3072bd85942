"""What an answer changes beside its command: the device's row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
    if request_type == "EraseDevice":
        _note_erased(db, result.enrollment.id)
        return
    effect = _EFFECTS.get(request_type)
    if effect is None:
        return
    value = result.body.value.get(effect.key)
    known = devices.answered(db, result.enrollment.id, effect.answer)
    # Refusing an answer of another type would make the device repeat it for ever.
    if not isinstance(value, dict) or known is None:
        return
    facts, said = known
    answer = Plist(value)
    updated = effect.update(facts, answer)
    if updated.is_erased:  # whoever answers is not
        updated = replace(updated, is_erased=False)
    # What a user's channel says of the device must not give that another channel of its name.
    if updated != facts and not result.enrollment.is_user_channel:
        devices.put_facts(db, result.enrollment.id, updated)
    # An answer says only what was asked, so what others said stays beside it.
    devices.put_answer(db, result.enrollment.id, effect.answer, said, _as_json(answer), now)


def _note_erased(db: Connection, device_id: str) -> None:
    facts = devices.facts(db, device_id)
    if facts is not None:
        devices.put_facts(db, device_id, replace(facts, is_erased=True))


@dataclass(frozen=True, slots=True)
class _Effect:
    key: str  # where the answer stands in the report
    update: Callable[[DeviceFacts, Plist], DeviceFacts]
    answer: devices.Answer


_EFFECTS = {
    "DeviceInformation": _Effect(
        "QueryResponses", device.updated_by_device_information, "information"
    ),
    "SecurityInfo": _Effect("SecurityInfo", device.updated_by_security_info, "security"),
}


def _as_json(answer: Plist) -> dict[str, plist.Json]:
    # What unlocks a device stays in the sealed answer.
    return {k: plist.to_json(v) for k, v in answer.value.items() if k not in SECRET_KEYS}
