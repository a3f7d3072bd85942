"""How a simulated device answers commands. Pure: no clock, no network, no files.

To add an answer for a new command:

| step | where |
|---|---|
| what is remembered, if anything | a field of `DeviceState` in `simulator/state.py` |
| a function of a `Call` that returns `acknowledged(…)` or raises `Refusal` | its family's file |
| platforms, right, channels, supervision, keys with types | `COMMANDS` at the end of that file |
| a new family, if it is one | `_FAMILIES` below |
| valid parameters, and what a person would see changed | `tests/simulator/` |

| file | commands about |
|---|---|
| `information`, `queries` | DeviceInformation |
| `security` | SecurityInfo, passcodes, FileVault, recovery lock, Activation Lock |
| `profiles`, `mobileconfig`, `certificates`, `restrictions` | profiles and what they bring |
| `apps`, `store` | apps |
| `settings`, `updates`, `users` | Settings; OS updates; accounts and Setup Assistant |
| `media`, `macs` | books and plans; what only Macs have |
| `device` | lock, erase, restart, Lost Mode, mirroring, declarations |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from appliance.simulator.answers import (
    apps,
    certificates,
    device,
    information,
    macs,
    media,
    profiles,
    restrictions,
    security,
    settings,
    updates,
    users,
)
from appliance.simulator.answers.command import After, Answer, Call, Command, check, refused
from appliance.simulator.answers.profiles import adopt, unenroll
from appliance.simulator.errors import Malformed, NotNow, Refusal, unknown_request
from appliance.simulator.state import DeviceState

__all__ = ["COMMANDS", "After", "Answer", "adopt", "answer", "unenroll"]

_FAMILIES = (
    apps,
    certificates,
    device,
    information,
    macs,
    media,
    profiles,
    restrictions,
    security,
    settings,
    updates,
    users,
)
COMMANDS: Final[dict[str, Command]] = {
    request_type: command
    for family in _FAMILIES
    for request_type, command in family.COMMANDS.items()
}


def answer(
    state: DeviceState, command: Mapping[str, Any], now: datetime, *, user_channel: bool = False
) -> Answer:
    """Return what the device reports for `command` (the Command dictionary), and change `state`.

    A refused or malformed command changes nothing. Dates in the answer are UTC without a time
    zone, as property lists hold them.
    """
    request_type = command.get("RequestType")
    if not isinstance(request_type, str):
        return Answer(status="CommandFormatError")
    updates.settle(state, now)
    call = Call(state=state, keys=command, now=now, user_channel=user_channel)
    try:
        return _run(call, request_type)
    except NotNow:
        return Answer(status="NotNow")
    except Malformed:
        return Answer(status="CommandFormatError")
    except Refusal as refusal:
        return refused(refusal)


def _run(call: Call, request_type: str) -> Answer:
    known = COMMANDS.get(request_type)
    if known is None:
        raise unknown_request(request_type, mac=call.state.is_mac)
    check(known, call, request_type)
    return known.run(call)
