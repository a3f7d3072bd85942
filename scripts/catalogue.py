#!/usr/bin/env python3
"""Derive `appliance/mdm/catalogue.json` from Apple's device management schema.

Facts only: names, types, presence, allowed values, flags and versions; no prose.
`--check` writes nothing and fails when the committed file differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT.parent / "shared" / "apple-schema"
CATALOGUE = ROOT / "appliance" / "mdm" / "catalogue.json"

# Apple's schema uses two spellings for some rights. Values: AccessRights of com.apple.mdm.
RIGHTS = {
    "None": 0,
    "n/a": 0,
    "AllowInspection": 1,
    "AllowInstallationRemoval": 2,
    "AllowPasscodeRemovalAndLock": 4,
    "DeviceLockAndRemovePasscode": 4,
    "AllowDeviceErase": 8,
    "AllowQueryDeviceInformation": 16,
    "AllowQueryNetworkInformation": 32,
    "AllowProvisioningInspection": 64,
    "AllowProvisioningInstallationRemoval": 128,
    "AllowQueryApplications": 256,
    "QueryInstalledApps": 256,
    "AllowQueryRestrictions": 512,
    "AllowQuerySecurity": 1024,
    "AllowSettings": 2048,
    "AllowAppInstallation": 4096,
}
# DeviceInformation: the right depends on the query, so the command itself states none.
RIGHT_PER_QUERY = "Special Case"

PLATFORM_FIELDS = {
    "introduced": "introduced",
    "deprecated": "deprecated",
    "removed": "removed",
    "supervised": "supervised",
    "requiresdep": "requires_ade",
    "devicechannel": "device_channel",
    "userchannel": "user_channel",
}
SHARED_IPAD_FIELDS = {
    "mode": "shared_ipad",
    "devicechannel": "shared_ipad_device_channel",
    "userchannel": "shared_ipad_user_channel",
}
UNAVAILABLE = "n/a"
WIDTH = 140

Facts = dict[str, Any]


def platform(stated: Facts) -> Facts | None:
    """One platform's entry of `supportedOS`; None when the platform lacks it."""
    if stated.get("introduced") == UNAVAILABLE:
        return None
    facts = {ours: stated[apples] for apples, ours in PLATFORM_FIELDS.items() if apples in stated}
    right = stated.get("accessrights", RIGHT_PER_QUERY)
    if right != RIGHT_PER_QUERY:
        facts["right"] = RIGHTS[right]
    shared = stated.get("sharedipad", {})
    facts |= {
        ours: shared[apples] for apples, ours in SHARED_IPAD_FIELDS.items() if apples in shared
    }
    if "userenrollment" in stated:
        facts["user_enrollment"] = stated["userenrollment"]["mode"]
    return facts


def platforms(item: Facts) -> Facts:
    """All platforms' entries; a key repeats only what differs from what encloses it."""
    return {name: platform(stated) for name, stated in item.get("supportedOS", {}).items()}


def key(item: Facts) -> Facts:
    """One request key with everything below it."""
    facts: Facts = {"type": item["type"].strip("<>")}
    if item.get("presence") == "required":
        facts["required"] = True
    if "default" in item:
        facts["default"] = item["default"]
    if "rangelist" in item:
        facts["allowed"] = item["rangelist"]
    if item.get("supportedOS"):
        facts["platforms"] = platforms(item)
    subkeys = item.get("subkeys", [])
    if facts["type"] == "array":
        facts["element"] = element(subkeys)
    elif facts["type"] == "dictionary":
        named = {sub["key"]: key(sub) for sub in subkeys if sub["key"] != "ANY"}
        facts |= {"keys": named} if named else {"open": True}
    return facts


def element(subkeys: list[Facts]) -> Facts:
    """What an array holds; several dictionaries are alternatives, told apart by their `Item`."""
    if len(subkeys) == 1:
        return key({name: fact for name, fact in subkeys[0].items() if name != "presence"})
    variants = {sub["key"]: key(sub) for sub in subkeys}
    for name, variant in variants.items():
        item = variant["keys"].pop("Item")
        if item["allowed"] != [name]:
            raise ValueError(f"the Item of {name} is {item['allowed']}")
    return {"type": "dictionary", "selector": "Item", "variants": variants}


def queries(document: Facts) -> Facts:
    """The names that DeviceInformation may ask for, each with the type of its answer.

    Two names (SIMMCC, SIMMNC) are listed only among the answers.
    """
    asked = {item["key"]: item for item in document["payloadkeys"][0]["subkeys"][0]["subkeys"]}
    (responses,) = (k for k in document["responsekeys"] if k["key"] == "QueryResponses")
    variants = {}
    for answer in responses["subkeys"]:
        item = asked.get(answer["key"], answer)
        variants[answer["key"]] = {
            "type": answer["type"].strip("<>"),
            "platforms": platforms(item),
        }
    return variants


def command(document: Facts) -> Facts:
    """One request type."""
    supported = platforms(document["payload"])
    facts: Facts = {"platforms": {name: value for name, value in supported.items() if value}}
    facts["keys"] = {item["key"]: key(item) for item in document.get("payloadkeys") or []}
    if document["payload"]["requesttype"] == "DeviceInformation":
        facts["keys"]["Queries"]["element"] = {"type": "string", "variants": queries(document)}
    return facts


def derive(schema: Path) -> str:
    """The text of the catalogue."""
    commands = {}
    for path in (schema / "mdm" / "commands").glob("*.yaml"):
        document = yaml.safe_load(path.read_text("utf-8"))
        commands[document["payload"]["requesttype"]] = command(document)
    return "\n".join(lines(dict(sorted(commands.items())), "")) + "\n"


def lines(value: Any, indent: str, prefix: str = "", suffix: str = "") -> Iterator[str]:
    """JSON with every object that fits on one line on one line."""
    flat = indent + prefix + json.dumps(value, ensure_ascii=False) + suffix
    if len(flat) <= WIDTH or not isinstance(value, dict):
        yield flat
        return
    yield indent + prefix + "{"
    last = len(value) - 1
    for position, (name, item) in enumerate(value.items()):
        comma = "" if position == last else ","
        yield from lines(item, indent + "  ", f"{json.dumps(name)}: ", comma)
    yield indent + "}" + suffix


def main() -> int:
    """Write the catalogue, or with `--check` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schema", type=Path, default=SCHEMA, help="folder with Apple's YAML")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    derived = derive(arguments.schema)
    if not arguments.check:
        CATALOGUE.write_text(derived, "utf-8")
        return 0
    if CATALOGUE.read_text("utf-8") != derived:
        print(f"{CATALOGUE} differs from the schema; run scripts/catalogue.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
