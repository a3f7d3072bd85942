"""What is installed on a device, from its last answers. Pure; hostile entries are passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from appliance.services.device_page import DeviceOverview
from appliance.store.answers import LastAnswer
from appliance.web.board.answers import read
from appliance.wire.plist import Value

_LONGEST = 300
MOST_ROWS = 400


_Entry: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One profile, app, certificate or update."""

    name: str
    identifier: str = ""
    note: str = ""  # its version, or who made it


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One answer as a list; `left_out` items are in the answer only."""

    command: str  # the CommandUUID of the answer
    at: datetime | None
    items: list[Item]
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The lists that the device has answered; None: not asked yet."""

    profiles: Listing | None
    applications: Listing | None
    certificates: Listing | None
    updates: Listing | None


def inventory_of(overview: DeviceOverview) -> Inventory:
    """Return the lists of a device's last answers."""
    lists = overview.lists
    return Inventory(
        profiles=_listing(lists.get("ProfileList"), "ProfileList", _profile),
        applications=_listing(
            lists.get("InstalledApplicationList"), "InstalledApplicationList", _application
        ),
        certificates=_listing(lists.get("CertificateList"), "CertificateList", _certificate),
        updates=_listing(lists.get("AvailableOSUpdates"), "AvailableOSUpdates", _update),
    )


def _listing(answer: LastAnswer | None, key: str, item: Callable[[_Entry], Item]) -> Listing | None:
    if answer is None:
        return None
    entries = list(_dictionaries(read(answer.body).get(key)))
    items = sorted((item(entry) for entry in entries), key=lambda one: one.name.casefold())
    left_out = max(0, len(items) - MOST_ROWS)
    return Listing(command=answer.command, at=answer.at, items=items[:MOST_ROWS], left_out=left_out)


def _profile(entry: _Entry) -> Item:
    identifier = _text(entry, "PayloadIdentifier")
    name = _text(entry, "PayloadDisplayName") or identifier
    return Item(name=name, identifier=identifier, note=_text(entry, "PayloadOrganization"))


def _application(entry: _Entry) -> Item:
    identifier = _text(entry, "Identifier")
    version = _text(entry, "ShortVersion") or _text(entry, "Version")
    return Item(name=_text(entry, "Name") or identifier, identifier=identifier, note=version)


def _certificate(entry: _Entry) -> Item:
    return Item(name=_text(entry, "CommonName"))


def _update(entry: _Entry) -> Item:
    name = _text(entry, "HumanReadableName") or _text(entry, "ProductKey")
    return Item(name=name, identifier=_text(entry, "ProductKey"), note=_text(entry, "Version"))


def _dictionaries(value: object) -> Iterator[_Entry]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict):
            yield entry


def _text(entry: _Entry, key: str) -> str:
    value = entry.get(key)
    return value[:_LONGEST] if isinstance(value, str) else ""
