"""What goes wrong with some devices of a fleet, chosen by the seed and then theirs for good."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from appliance.simulator.state import DeviceState
from appliance.simulator.transport import Cut


class Fault(StrEnum):
    """One kind of trouble; the value is its name on the command line."""

    SILENT = "silent"  # takes no push
    SLOW = "slow"  # answers each command after seconds
    DUPLICATE = "duplicate"  # sends each report twice
    LOST_NETWORK = "lost-network"  # loses the connection in the middle of a message
    WRONG_CLOCK = "wrong-clock"  # signs and dates with a time that is off
    OLD_OS = "old-os"
    LOW_BATTERY = "low-battery"
    NOT_NOW = "not-now"  # refuses now and then what may be refused


# Apple's devices take these whatever they are doing (MDM reference, "NotNow").
_NEVER_REFUSED = frozenset(
    {
        "ClearPasscode",
        "DeviceInformation",
        "DeviceLock",
        "EraseDevice",
        "InstalledApplicationList",
        "ProfileList",
        "ProvisioningProfileList",
        "Restrictions",
    }
)
_OLD_SYSTEMS = {"Mac": ("12.7.6", "21H1320")}
_OLD_SYSTEM = ("15.8.4", "19H390")
_SKEWS = (timedelta(days=-400), timedelta(hours=-26), timedelta(hours=9), timedelta(days=90))


def assign(seed: int, devices: int, wanted: Mapping[Fault, int]) -> list[frozenset[Fault]]:
    """Choose the devices that have each fault, in the order of their index."""
    chosen: list[set[Fault]] = [set() for _ in range(devices)]
    for fault in Fault:
        dice = random.Random(f"{seed} {fault}")  # noqa: S311 - a seeded choice, not a secret
        for index in dice.sample(range(devices), min(wanted.get(fault, 0), devices)):
            chosen[index].add(fault)
    return [frozenset(faults) for faults in chosen]


def afflict(state: DeviceState, faults: frozenset[Fault]) -> None:
    """Change the state of a device as its faults demand."""
    if Fault.SILENT in faults:
        state.silent = True
    if Fault.OLD_OS in faults:
        old = _OLD_SYSTEMS.get(state.platform.value, _OLD_SYSTEM)
        state.os_version, state.build_version = old
    if Fault.LOW_BATTERY in faults and state.battery is not None:
        state.battery = 0.04


def clock_error(faults: frozenset[Fault], dice: random.Random) -> timedelta:
    """How far the device's clock is off."""
    return dice.choice(_SKEWS) if Fault.WRONG_CLOCK in faults else timedelta()


def cut(faults: frozenset[Fault], dice: random.Random) -> Cut | None:
    """Whether the network is lost during the next message, and where."""
    if Fault.LOST_NETWORK not in faults or dice.random() < 0.5:
        return None
    return dice.choice((Cut.IN_THE_BODY, Cut.BEFORE_THE_ANSWER))


def refuses(faults: frozenset[Fault], dice: random.Random, request_type: str) -> bool:
    """Whether the device says NotNow for no reason that anybody can see."""
    if Fault.NOT_NOW not in faults or request_type in _NEVER_REFUSED:
        return False
    return dice.random() < 0.5
