"""The catalogue's entries: request types, their keys, and where each is supported."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Literal

import msgspec

from appliance import resources
from appliance.errors import InvalidRequest
from appliance.mdm.device import Platform

Mode = Literal["allowed", "required", "forbidden", "ignored"]
ValueType = Literal[
    "string", "integer", "real", "boolean", "data", "date", "array", "dictionary", "any"
]

# Design decision, not Apple's: these need the scope `danger` and a confirmation. Removing the
# MDM profile is as dangerous, but only the service knows that profile's identifier.
DANGEROUS = frozenset({"ClearPasscode", "DeviceLock", "EraseDevice", "SetRecoveryLock"})


class PlatformSupport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions on one platform; None where Apple states nothing.

    `right` is one bit of AccessRights (0: none is needed).
    """

    introduced: str | None = None
    deprecated: str | None = None
    removed: str | None = None
    right: int | None = None
    supervised: bool | None = None
    requires_ade: bool | None = None
    device_channel: bool | None = None
    user_channel: bool | None = None
    shared_ipad: Mode | None = None
    shared_ipad_device_channel: bool | None = None
    shared_ipad_user_channel: bool | None = None
    user_enrollment: Mode | None = None


class KeySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of a command, or one element of an array.

    `platforms` lists only what differs from the enclosing key or command; None there means that
    the platform lacks this key.
    """

    type: ValueType
    required: bool = False
    default: str | int | bool | None = None
    allowed: tuple[str | int, ...] = ()
    platforms: Mapping[Platform, PlatformSupport | None] = {}
    keys: Mapping[str, KeySpec] = {}
    """Of a dictionary: its keys, in Apple's order."""
    open: bool = False
    """Of a dictionary: any key may stand in it."""
    element: KeySpec | None = None
    """Of an array: what it holds."""
    variants: Mapping[str, KeySpec] = {}
    """Named alternatives. Of a dictionary: told apart by the key `selector`. Of a text: the only
    texts allowed, each with the type of the answer that it asks for."""
    selector: str = ""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request type; a platform that is not listed does not have it."""

    request_type: str = ""
    platforms: Mapping[Platform, PlatformSupport]
    keys: Mapping[str, KeySpec] = {}

    @property
    def dangerous(self) -> bool:
        """Whether sending it needs the scope `danger` and a confirmation."""
        return self.request_type in DANGEROUS

    @property
    def required_keys(self) -> tuple[str, ...]:
        """The keys that cannot be left out."""
        return tuple(name for name, key in self.keys.items() if key.required)


# Made while there is one thread: two that let msgspec learn a type at the same time crash it.
_DECODER = msgspec.json.Decoder(dict[str, CommandSpec])


@cache
def catalogue() -> Mapping[str, CommandSpec]:
    """Return every request type by name. Read on first use, then kept."""
    entries = _DECODER.decode(resources.text("mdm/catalogue.json"))
    return MappingProxyType(
        {name: msgspec.structs.replace(entry, request_type=name) for name, entry in entries.items()}
    )


def command_spec(request_type: str) -> CommandSpec:
    """Return the entry of `request_type`, or refuse it with the nearest known name."""
    spec = catalogue().get(request_type)
    if spec is None:
        raise InvalidRequest(
            f"{request_type!r} is not a request type",
            code="command.unknown_request_type",
            pointer="/request_type",
            fix=did_you_mean(request_type, catalogue())
            or "see the list of request types: appliance command types",
        )
    return spec


def device_information_queries() -> Mapping[str, KeySpec]:
    """Return what DeviceInformation may ask for; `type` is the type of the answer."""
    return _variants("DeviceInformation", "Queries")


def settings_items() -> Mapping[str, KeySpec]:
    """Return the items of the Settings command, each with its keys."""
    return _variants("Settings", "Settings")


def did_you_mean(name: str, known: Mapping[str, object]) -> str:
    """Return a hint with the nearest of the `known` names, or an empty text."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(name.lower()[:64], by_lower_case, n=1, cutoff=0.6)
    return f"did you mean {by_lower_case[near[0]]}?" if near else ""


def _variants(request_type: str, name: str) -> Mapping[str, KeySpec]:
    element = catalogue()[request_type].keys[name].element
    return element.variants if element else {}
