"""What an answer changes beside its command: the device's row."""

from __future__ import annotations

from appliance.mdm import device
from appliance.mdm.command import CommandResult, Status
from appliance.store import devices
from appliance.store.database import Connection
from appliance.wire import plist
from appliance.wire.plist import Plist


def apply_result(db: Connection, result: CommandResult, request_type: str, now: int) -> None:
    """Let an acknowledged answer change what is known of its device."""
    if result.status is not Status.ACKNOWLEDGED:
        return
    match request_type:
        case "DeviceInformation":
            answer = result.body.dictionary("QueryResponses", None)
            if answer is not None:
                _learn(db, result.enrollment.id, answer, now)
        case "SecurityInfo":
            answer = result.body.dictionary("SecurityInfo", None)
            if answer is not None:
                _learn_security(db, result.enrollment.id, answer, now)
        case _:
            pass


def _learn(db: Connection, enrollment_id: str, answer: Plist, now: int) -> None:
    facts = devices.facts(db, enrollment_id)
    if facts is None:
        return
    devices.put_facts(db, enrollment_id, device.updated_by_device_information(facts, answer))
    devices.put_information(db, enrollment_id, _as_json(answer), now)


def _learn_security(db: Connection, enrollment_id: str, answer: Plist, now: int) -> None:
    facts = devices.facts(db, enrollment_id)
    if facts is None:
        return
    devices.put_facts(db, enrollment_id, device.updated_by_security_info(facts, answer))
    devices.put_security(db, enrollment_id, _as_json(answer), now)


def _as_json(answer: Plist) -> dict[str, plist.Json]:
    return {key: plist.to_json(value) for key, value in answer.value.items()}
