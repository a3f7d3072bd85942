"""The restrictions that profiles set, each and taken together."""

from __future__ import annotations

from typing import Any, Final

from appliance.simulator.answers.command import IOS, TV, Answer, Call, Command, acknowledged
from appliance.simulator.answers.mobileconfig import PASSCODE, RESTRICTIONS
from appliance.simulator.state import Profile

Shape = dict[str, dict[str, dict[str, Any]]]


def _restrictions(call: Call) -> Answer:
    profiles = call.state.profiles.values()
    together: Shape = {}
    for profile in profiles:
        _merge(together, _of(profile))
    body: dict[str, Any] = {"GlobalRestrictions": together}
    if call.keys.get("ProfileRestrictions"):
        body["ProfileRestrictions"] = {
            profile.identifier: shape for profile in profiles if (shape := _of(profile))
        }
    return acknowledged(**body)


def _of(profile: Profile) -> Shape:
    shape: Shape = {}
    for payload in profile.payloads_of(*RESTRICTIONS, PASSCODE):
        for name, value in payload.content.items():
            if isinstance(value, bool):
                shape.setdefault("restrictedBool", {})[name] = {"value": value}
            elif isinstance(value, int):
                shape.setdefault("restrictedValue", {})[name] = {"value": value}
            elif isinstance(value, list) and all(isinstance(item, str) for item in value):
                kind = "union" if name.startswith("block") else "intersection"
                shape.setdefault(kind, {})[name] = {"values": value}
    return shape


def _merge(together: Shape, more: Shape) -> None:
    """Tighten: a restriction that one profile sets is set."""
    for kind, entries in more.items():
        known = together.setdefault(kind, {})
        for name, entry in entries.items():
            known[name] = _tighter(kind, name, known[name], entry) if name in known else entry


def _tighter(kind: str, name: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case "restrictedBool" if name.startswith("force") or name.startswith("require"):
            return {"value": one["value"] or other["value"]}
        case "restrictedBool":
            return {"value": one["value"] and other["value"]}
        case "restrictedValue":
            tighter = min if name.startswith(("max", "rating")) else max
            return {"value": tighter(one["value"], other["value"])}
        case "union":
            return {"values": sorted({*one["values"], *other["values"]})}
        case _:
            return {"values": sorted({*one["values"]} & {*other["values"]})}


COMMANDS: Final = {
    "Restrictions": Command(
        run=_restrictions,
        on=IOS | TV,
        right=512,
        ipad="DU",
        takes={"ProfileRestrictions": bool},
        lost=True,
    ),
}
