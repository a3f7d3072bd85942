"""What a device is known not to support is refused with the reason; what is unknown, a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.mdm.catalogue.spec import CommandSpec, KeySpec, PlatformSupport
from appliance.mdm.device import DeviceFacts, Platform

Platforms = Mapping[Platform, PlatformSupport] | Mapping[Platform, PlatformSupport | None]


# Apple says so in prose: recoveryOS passwords exist on Apple silicon, firmware ones on Intel.
_NEEDS_APPLE_SILICON = {
    "SetFirmwarePassword": False,
    "SetRecoveryLock": True,
    "VerifyFirmwarePassword": False,
    "VerifyRecoveryLock": True,
}


@dataclass(frozen=True, slots=True)
class Support:
    """Why a command would fail, and why it might."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_support(
    spec: CommandSpec,
    device: DeviceFacts,
    *,
    user_channel: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> Support:
    """Compare a command with what is known about the device and channel it is for.

    Args:
        parameters: as for `build_command`, already valid. A setting that the device lacks is a
            refusal; a key or a query that it lacks is a warning, since devices leave those out.
    """
    check = _Check(device, user_channel=user_channel)
    check.command(spec)
    if not check.support.refusals and device.platform is not None:
        for name, value in (parameters or {}).items():
            if name in spec.keys:
                check.key(name, spec.keys[name], value)
    return check.support


def lacking(key: KeySpec, device: DeviceFacts, *, user_channel: bool = False) -> list[str]:
    """Return why the device is known not to have this key, query or setting; empty if it may."""
    check = _Check(device, user_channel=user_channel)
    return [reason for reason, certain in check.reasons(key.platforms) if certain]


class _Check:
    """One command, its keys and everything below them, against one device."""

    def __init__(self, device: DeviceFacts, *, user_channel: bool) -> None:
        self.support = Support()
        self._device = device
        self._user_channel = user_channel

    def command(self, spec: CommandSpec) -> None:
        """Check the conditions of the command as a whole."""
        platform = self._device.platform
        if platform is None:
            self.support.warnings.append("the platform of the device is not known yet")
            return
        if platform not in spec.platforms:
            names = ", ".join(spec.platforms)
            problem = f"{spec.request_type} does not exist on {platform}, only on {names}"
            self.support.refusals.append(problem)
            return
        for reason, certain in self.reasons(spec.platforms):
            self._add(f"{spec.request_type} {reason}", refuse=certain)
        self._processor(spec.request_type)

    def key(self, path: str, key: KeySpec, value: Any) -> None:
        """Check one key and what stands below it: most devices leave out what they lack."""
        lacking = list(self.reasons(key.platforms))
        for reason, _ in lacking:
            self._add(f"{path} {reason}", refuse=False)
        if any(certain for _, certain in lacking):
            return
        if key.element is None:
            self._keys(path, key.keys, value)
        elif key.element.selector:
            self._settings(path, key.element, value)
        elif key.element.variants:
            self._queries(key.element, value)
        else:
            for index, item in enumerate(value):
                self.key(f"{path}[{index}]", key.element, item)

    def _processor(self, request_type: str) -> None:
        needed = _NEEDS_APPLE_SILICON.get(request_type)
        if needed is None or needed is self._device.is_apple_silicon:
            return
        known = self._device.is_apple_silicon is not None
        processor = "Apple silicon" if needed else "an Intel processor"
        state = "this device has none" if known else "the processor is not known yet"
        self._add(f"{request_type} needs {processor}; {state}", refuse=known)

    def _keys(self, path: str, keys: Mapping[str, KeySpec], value: Any) -> None:
        for name, key in keys.items():
            if name in value:
                self.key(f"{path}.{name}", key, value[name])

    def _settings(self, path: str, element: KeySpec, value: Any) -> None:
        """Each is a command of its own: the device answers an error to one that it lacks."""
        for index, item in enumerate(value):
            variant = element.variants[item[element.selector]]
            reasons = list(self.reasons(variant.platforms))
            for reason, certain in reasons:
                self._add(f"{item[element.selector]} {reason}", refuse=certain)
            if not any(certain for _, certain in reasons):
                self._keys(f"{path}[{index}]", variant.keys, item)

    def _queries(self, element: KeySpec, value: Any) -> None:
        """One warning for all: the same long list is asked of every device."""
        lacking = [
            name
            for name in value
            if any(certain for _, certain in self.reasons(element.variants[name].platforms))
        ]
        if lacking:
            self._add(f"the device does not answer {', '.join(lacking)}", refuse=False)

    def _add(self, problem: str, *, refuse: bool) -> None:
        (self.support.refusals if refuse else self.support.warnings).append(problem)

    def reasons(self, platforms: Platforms) -> Iterator[tuple[str, bool]]:
        """Yield every reason against, and whether it is certain."""
        platform = self._device.platform
        if platform is None or platform not in platforms:
            return
        conditions = platforms[platform]
        if conditions is None:
            yield f"does not exist on {platform}", True
        else:
            yield from _problems(conditions, self._device, self._user_channel)


def _problems(
    conditions: PlatformSupport, device: DeviceFacts, user_channel: bool
) -> Iterator[tuple[str, bool]]:
    yield from _version_problems(conditions, device)
    if conditions.supervised and not device.is_supervised:
        known = device.is_supervised is not None
        state = "this one is not" if known else "whether this one is, is not known yet"
        yield f"needs a supervised device; {state}", known
    if conditions.requires_ade:
        yield "needs Automated Device Enrollment", False
    if device.is_user_enrollment and conditions.user_enrollment == "forbidden":
        yield "is not allowed in a user enrollment", True
    yield from _channel_problems(conditions, device, user_channel)


def _version_problems(
    conditions: PlatformSupport, device: DeviceFacts
) -> Iterator[tuple[str, bool]]:
    platform = device.platform
    version = _version(device.os_version or "")
    if not version:
        if conditions.introduced:
            needed = f"{platform} {conditions.introduced} or later"
            yield f"needs {needed}; the version is not known yet", False
        return
    if conditions.introduced and version < _version(conditions.introduced):
        needed = f"{platform} {conditions.introduced} or later"
        yield f"needs {needed}; this device has {device.os_version}", True
    if conditions.removed and version >= _version(conditions.removed):
        yield f"was removed in {platform} {conditions.removed}", True
    elif conditions.deprecated and version >= _version(conditions.deprecated):
        yield f"is deprecated since {platform} {conditions.deprecated}", False


def _channel_problems(
    conditions: PlatformSupport, device: DeviceFacts, user_channel: bool
) -> Iterator[tuple[str, bool]]:
    if device.platform == "iOS":
        # Only a Shared iPad has user channels on iOS.
        shared = True if user_channel else device.shared_ipad
        yield from _shared_ipad_problems(conditions, shared, user_channel)
    elif user_channel and conditions.user_channel is False:
        yield "is for the device channel only", True
    elif not user_channel and conditions.device_channel is False:
        yield "is for a user channel only", True


def _shared_ipad_problems(
    conditions: PlatformSupport, shared: bool | None, user_channel: bool
) -> Iterator[tuple[str, bool]]:
    mode = conditions.shared_ipad
    if mode == "required" and not shared:
        known = shared is not None
        state = "this is none" if known else "whether this is one, is not known yet"
        yield f"needs a Shared iPad; {state}", known
    if not shared:
        return
    if mode == "forbidden":
        yield "is not allowed on a Shared iPad", True
    elif mode == "ignored":
        yield "is ignored on a Shared iPad", False
    elif user_channel and conditions.shared_ipad_user_channel is False:
        yield "is for the device channel of a Shared iPad only", True
    elif not user_channel and conditions.shared_ipad_device_channel is False:
        yield "is for a user channel of a Shared iPad only", True


def _version(text: str) -> tuple[int, ...]:
    """Return a version to compare: "10.13.4" as (10, 13, 4), "17.0" as (17,), "beta" as ()."""
    numbers = []
    for part in text.split(" ")[0].split("."):
        digits = "".join(char for char in part if char.isascii() and char.isdigit())
        numbers.append(int(digits or 0))
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
