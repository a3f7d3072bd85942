"""What all answers share: a command as it arrives, its answer, and what a device asks of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from appliance.simulator.errors import (
    MDM,
    Malformed,
    NotNow,
    Refusal,
    not_supervised,
    unknown_request,
)
from appliance.simulator.state import DeviceState, Mac, Platform

MAC = frozenset({Platform.MAC})
IOS = frozenset({Platform.IPHONE, Platform.IPAD})
TV = frozenset({Platform.APPLE_TV})
ALL = MAC | IOS | TV
NOWHERE: frozenset[Platform] = frozenset()


class After(enum.Enum):
    """What a device does besides answering: once its answer is sent, but for RENEW."""

    NOTHING = "nothing"
    UNENROLL = "unenroll"  # check out; management is already removed from the state
    ERASE = "erase"  # becomes a new device
    RESTART = "restart"
    SHUT_DOWN = "shut down"
    RENEW = "renew"  # first enroll again with the MDM payload that is in the command
    DECLARATIONS = "declarations"  # fetch declarations by check-in


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One report: its Status, the keys beside it, and what follows."""

    status: str  # Acknowledged, Error, CommandFormatError or NotNow
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    after: After = After.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command at work on a device."""

    state: DeviceState
    keys: Mapping[str, Any]  # the Command dictionary
    now: datetime
    user_channel: bool = False

    @property
    def mac(self) -> Mac:
        """What only a Mac has; ask only where the table says the command is for Macs."""
        if self.state.mac is None:
            raise unknown_request(str(self.keys.get("RequestType")), mac=False)
        return self.state.mac

    def text(self, key: str) -> str:
        """Return a string key, empty when absent."""
        return str(self.keys.get(key, ""))


Run = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How a device takes one request type; facts from Apple's schema."""

    run: Run
    on: frozenset[Platform] = ALL
    right: int = 0  # AccessRights bit of the MDM payload
    right_on: frozenset[Platform] = ALL  # where that right is asked for
    supervised: frozenset[Platform] = NOWHERE  # where it needs supervision
    channels: str = "D"  # of a Mac: D device, U user
    ipad: str = "D"  # the same for a Shared iPad; empty: not there
    shared: bool = False  # Shared iPad only, where the device is an iPad
    needs: Mapping[str, type] = field(default_factory=dict)
    takes: Mapping[str, type] = field(default_factory=dict)
    unlocked: bool = False  # NotNow on a locked iPhone, iPad or Apple TV
    awake: bool = True  # NotNow on a locked Mac
    lost: bool = False  # also in Lost Mode


def acknowledged(after: After = After.NOTHING, **body: Any) -> Answer:
    """Return the answer of a command that was carried out."""
    return Answer(status="Acknowledged", body=body, after=after)


def refused(refusal: Refusal) -> Answer:
    """Return the answer of a command that ends with Error."""
    return Answer(status="Error", body={"ErrorChain": refusal.chain, **refusal.body})


def check(command: Command, call: Call, request_type: str) -> None:
    """Refuse as the device would: unknown here, malformed, not allowed, or not now."""
    state = call.state
    if state.platform not in command.on or not _is_on_channel(command, call):
        raise unknown_request(request_type, mac=state.is_mac)
    if command.shared and state.is_ios and not state.shared:
        raise unknown_request(request_type, mac=False)
    _check_keys(command, call.keys)
    if state.platform in command.right_on:
        check_right(state, command.right, request_type)
    if state.platform in command.supervised and not state.supervised:
        raise not_supervised()
    if state.lost_mode and not command.lost:
        raise Refusal(MDM, 12078, f"“{request_type}” is not valid in Lost Mode.")
    if state.locked and (command.awake if state.is_mac else command.unlocked):
        raise NotNow


def check_right(state: DeviceState, right: int, request_type: str) -> None:
    """Refuse when the enrollment profile did not grant this AccessRights bit; 0 asks for none."""
    if right and not state.access_rights & right:
        raise Refusal(MDM, 12007, f"The server is not authorized to send “{request_type}”.")


def _is_on_channel(command: Command, call: Call) -> bool:
    channel = "U" if call.user_channel else "D"
    if call.state.is_mac:
        return channel in command.channels
    if call.state.shared:
        return channel in command.ipad
    return not call.user_channel


def _check_keys(command: Command, keys: Mapping[str, Any]) -> None:
    for name, kind in {**command.needs, **command.takes}.items():
        if name not in keys:
            if name in command.needs:
                raise Malformed(f"{name} is missing")
        elif not is_of_type(keys[name], kind):
            raise Malformed(f"{name} is not {kind.__name__}")


def utc(moment: datetime) -> datetime:
    """Return a moment as property lists hold it: in UTC, without a time zone, whole seconds."""
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.replace(tzinfo=None, microsecond=0)


def is_of_type(value: Any, kind: type) -> bool:
    """Whether a plist value is of this type; a boolean is no integer there."""
    if kind is float:
        return type(value) in (int, float)
    if kind is bytes:
        return isinstance(value, bytes | bytearray)
    return type(value) is kind
