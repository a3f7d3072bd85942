"""What Apple's schema says only in prose: rules between the keys of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from appliance.errors import InvalidRequest

Command = Mapping[str, Any]
Rule = Callable[[Command, str], None]


def check_rules(request_type: str, command: Command) -> None:
    """Refuse a command whose keys are each valid but do not fit together."""
    for rule in RULES.get(request_type, ()):
        rule(command, "/parameters")


def _exactly_one(*names: str) -> Rule:
    def check(command: Command, pointer: str) -> None:
        given = [name for name in names if name in command]
        if not given:
            _missing(f"{pointer}/{names[0]}", names, "exactly one of")
        if len(given) > 1:
            _value(f"{pointer}/{given[1]}", given[1], f"excludes {given[0]}", "give only one")

    return check


def _at_least_one(*names: str) -> Rule:
    def check(command: Command, pointer: str) -> None:
        if not any(name in command for name in names):
            _missing(f"{pointer}/{names[0]}", names, "one of")

    return check


def _needed_unless(name: str, flag: str) -> Rule:
    def check(command: Command, pointer: str) -> None:
        if name not in command and not command.get(flag):
            _missing(f"{pointer}/{name}", (name,), "", f" unless {flag} is true")

    return check


def _length(name: str, minimum: int, maximum: int, unit: str) -> Rule:
    def check(command: Command, pointer: str) -> None:
        if name in command and not minimum <= len(command[name]) <= maximum:
            wanted = f"{minimum}" if minimum == maximum else f"{minimum} to {maximum}"
            _value(f"{pointer}/{name}", name, f"must have {wanted} {unit}")

    return check


def _between(name: str, minimum: int, maximum: int) -> Rule:
    def check(command: Command, pointer: str) -> None:
        if name in command and not minimum <= command[name] <= maximum:
            _value(f"{pointer}/{name}", name, f"must be between {minimum} and {maximum}")

    return check


def _https(name: str) -> Rule:
    def check(command: Command, pointer: str) -> None:
        if name in command and not command[name].lower().startswith("https://"):
            _value(f"{pointer}/{name}", name, "must begin with https://")

    return check


def _each(name: str, rule: Rule) -> Rule:
    def check(command: Command, pointer: str) -> None:
        for index, item in enumerate(command[name]):
            rule(item, f"{pointer}/{name}/{index}")

    return check


def _unlocks_file_vault(command: Command, pointer: str) -> None:
    unlock = command["FileVaultUnlock"]
    if "Password" not in unlock and not {"PrivateKeyExport", "PrivateKeyExportPassword"} <= set(
        unlock
    ):
        names = ("Password", "PrivateKeyExport with PrivateKeyExportPassword")
        _missing(f"{pointer}/FileVaultUnlock/Password", names, "one of")


RULES: Mapping[str, tuple[Rule, ...]] = {
    "DeleteUser": (_needed_unless("UserName", "DeleteAllUsers"),),
    "DeviceInformation": (
        _length("Queries", 1, 1000, "elements"),
        _length("DeviceAttestationNonce", 0, 32, "bytes"),
    ),
    "DeviceLock": (_length("PIN", 6, 6, "characters"),),
    "EnableLostMode": (_at_least_one("Message", "PhoneNumber"),),
    "EraseDevice": (_length("PIN", 6, 6, "characters"),),
    "InstallApplication": (
        _exactly_one("iTunesStoreID", "Identifier", "ManifestURL"),
        _https("ManifestURL"),
    ),
    "InstallEnterpriseApplication": (
        _at_least_one("Manifest", "ManifestURL"),
        _https("ManifestURL"),
    ),
    "InstallMedia": (_at_least_one("iTunesStoreID", "MediaURL"),),
    "RemoveMedia": (_at_least_one("iTunesStoreID", "PersistentID"),),
    "RequestMirroring": (
        _at_least_one("DestinationName", "DestinationDeviceID"),
        _between("ScanTime", 10, 300),
    ),
    "RotateFileVaultKey": (_unlocks_file_vault,),
    "ScheduleOSUpdate": (_each("Updates", _at_least_one("ProductKey", "ProductVersion")),),
    "Settings": (_length("Settings", 1, 1000, "elements"),),
}


def _missing(pointer: str, names: tuple[str, ...], quantity: str, when: str = "") -> NoReturn:
    wanted = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    raise InvalidRequest(
        f"{f'{quantity} ' if quantity else ''}{wanted} is required{when}",
        code="command.parameter_missing",
        pointer=pointer,
        fix=f"give {wanted}",
    )


def _value(pointer: str, name: str, problem: str, fix: str = "") -> NoReturn:
    raise InvalidRequest(
        f"{name}: {problem}", code="command.parameter_value", pointer=pointer, fix=fix
    )
