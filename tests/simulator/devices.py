"""Devices, commands and profiles for the tests of the answers."""

from __future__ import annotations

import plistlib
from datetime import UTC, datetime
from typing import Any

from appliance.simulator.answers import Answer, answer
from appliance.simulator.casting import make_state
from appliance.simulator.state import DeviceState, Platform

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def device(platform: Platform, *, supervised: bool = True, **changes: Any) -> DeviceState:
    """Return a device of this platform as it is after enrollment, fully managed."""
    states = (make_state(5, index) for index in range(1000))
    state = next(state for state in states if state.platform is platform and _is_recent(state))
    state.supervised = supervised
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def _is_recent(state: DeviceState) -> bool:
    return state.mac is None or state.mac.apple_silicon


def send(state: DeviceState, request_type: str, *, now: datetime = NOW, **keys: Any) -> Answer:
    """Return the answer on the device channel."""
    return answer(state, {"RequestType": request_type, **keys}, now)


def acknowledged(state: DeviceState, request_type: str, **keys: Any) -> dict[str, Any]:
    """Return the body of an answer that has to be Acknowledged."""
    reply = send(state, request_type, **keys)
    assert reply.status == "Acknowledged", reply.body
    return reply.body


def codes(reply: Answer) -> list[int]:
    """Return the codes of the ErrorChain of an answer that has to be an Error."""
    assert reply.status == "Error", reply
    return [entry["ErrorCode"] for entry in reply.body["ErrorChain"]]


def profile(*payloads: dict[str, Any], identifier: str = "com.example.p", **top: Any) -> bytes:
    """Return a configuration profile; payloads get the keys that every payload needs."""
    content = [
        {
            "PayloadIdentifier": f"{identifier}.{number}",
            "PayloadUUID": f"uuid-of-{identifier}-{number}",
            "PayloadVersion": 1,
            **payload,
        }
        for number, payload in enumerate(payloads)
    ]
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": identifier,
            "PayloadUUID": f"uuid-of-{identifier}",
            "PayloadDisplayName": "Office",
            "PayloadContent": content,
            **top,
        }
    )
