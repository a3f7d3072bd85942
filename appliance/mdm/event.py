"""What a message of a device looks like to a webhook: the JSON of MicroMDM and NanoMDM."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from appliance.errors import MalformedMessage
from appliance.mdm.checkin import (
    Authenticate,
    CheckinMessage,
    CheckOut,
    DeclarativeManagement,
    GetBootstrapToken,
    GetToken,
    SetBootstrapToken,
    TokenUpdate,
    UserAuthenticate,
)
from appliance.mdm.command import SECRET_KEYS, CommandResult
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.wire import plist
from appliance.wire.plist import Plist, Value

Said: TypeAlias = CheckinMessage | CommandResult

# What unlocks, wakes or impersonates a device; wherever it stands, its value stays here.
WITHHELD = SECRET_KEYS | {
    "BootstrapToken", "DigestResponse", "PushMagic", "PushToken", "SecurityToken", "Token",
}  # fmt: skip

_TOPICS: dict[type, str] = {
    Authenticate: "mdm.Authenticate",
    TokenUpdate: "mdm.TokenUpdate",
    CheckOut: "mdm.CheckOut",
    UserAuthenticate: "mdm.UserAuthenticate",
    SetBootstrapToken: "mdm.SetBootstrapToken",
    GetBootstrapToken: "mdm.GetBootstrapToken",
    DeclarativeManagement: "mdm.DeclarativeManagement",
    GetToken: "mdm.GetToken",
    CommandResult: "mdm.Connect",
}
_OF_USER_ENROLLMENT = (EnrollmentType.USER_ENROLLMENT_DEVICE, EnrollmentType.USER_ENROLLMENT)
_EMPTY: dict[type, Value] = {str: "", bytes: b"", dict: {}, list: []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event as it is sent; those of one device are told in their order."""

    id: str
    topic: str
    device_id: str
    body: bytes = field(repr=False)  # JSON


def event_of(
    said: Said, raw: bytes, *, event_id: str, at: datetime, tally: int | None = None
) -> Event | None:
    """Return the event, None for a message that the format has no topic for.

    Args:
        raw: the message as it came; it goes out as it came unless it holds a secret, whose value
            is emptied and whose key stays.
        tally: how many a TokenUpdate is of its channel.

    Source: NanoMDM, service/webhook/event.json; `url_params` is always there, as in MicroMDM.
    """
    topic = _TOPICS.get(type(said))
    if topic is None:
        return None
    about: dict[str, Any] = {**_names(said.enrollment)}
    if isinstance(said, CommandResult):
        about["status"] = str(said.status)
        if said.command_uuid is not None:
            about["command_uuid"] = said.command_uuid
        kind, message = "acknowledge_event", said.body
    else:
        if tally is not None:
            about["token_update_tally"] = tally
        kind, message = "checkin_event", plist.loads_from_device(raw)
    about["url_params"] = {}
    about["raw_payload"] = without_secrets(message, raw)  # msgspec writes bytes as base64
    event = {"topic": topic, "event_id": event_id, "created_at": at, kind: about}
    return Event(
        id=event_id, topic=topic, device_id=said.enrollment.device_id,
        body=msgspec.json.encode(event),
    )  # fmt: skip


def without_secrets(message: Plist, raw: bytes) -> bytes:
    """Return `raw`, the bytes of `message`, or it anew with every secret emptied."""
    emptied = _emptied(message.value)
    if emptied is message.value:
        return raw
    try:
        return plist.dumps(Plist(emptied))
    except MalformedMessage:  # read but not to be written again: rather nothing than a secret
        return b""


def _names(enrollment: EnrollmentID) -> dict[str, Any]:
    key = "enrollment_id" if enrollment.type in _OF_USER_ENROLLMENT else "udid"
    ids = {"id": enrollment.id, "type": str(enrollment.type)}
    if enrollment.parent_id is not None:
        ids["parent_id"] = enrollment.parent_id
    return {key: enrollment.device_id, "ids": ids}


def _emptied(values: dict[str, Value]) -> dict[str, Value]:
    """Return `values` themselves where nothing in them is secret."""
    changed = {}
    for key, value in values.items():
        new = _EMPTY.get(type(value), value) if key in WITHHELD else _emptied_item(value)
        if new is not value:
            changed[key] = new
    return {**values, **changed} if changed else values


def _emptied_item(value: Value) -> Value:
    if type(value) is dict:
        return _emptied(value)
    if type(value) is list:
        items = [_emptied_item(item) for item in value]
        return items if any(map(_is_another, items, value)) else value
    return value


def _is_another(one: Value, other: Value) -> bool:
    return one is not other
