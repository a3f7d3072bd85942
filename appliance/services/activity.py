"""Activity: what happened as lines for people; many devices that did one thing are one line."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.services.paging import entries_before
from appliance.store import activity
from appliance.store.activity import Entry
from appliance.store.database import Connection

_READ_EACH = 20  # events for a line, at most
_TOGETHER = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Line:
    """An entry, and how often the same happened shortly before it, on which devices."""

    entry: Entry
    devices: dict[str, str] = field(default_factory=dict)  # names by ID, the last first
    count: int = 1

    @property
    def day(self) -> str:
        """The day of it in UTC, 2026-11-24."""
        return self.entry.day

    def add(self, entry: Entry) -> None:
        """Let the line tell of one more."""
        self.count += 1
        if entry.device_id is not None:
            self.devices.setdefault(entry.device_id, entry.device_name or entry.device_id)


def lines(
    db: Connection, *, view: str | None, cursor: str | None, limit: int
) -> tuple[list[Line], str | None]:
    """Return what happened, newest first, and the cursor of the next page.

    Args:
        view: one of `store.activity.VIEWS`, None for everything.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    before = entries_before(cursor)
    entries, following = activity.read(db, view=view, before=before, limit=limit * _READ_EACH)
    folded, last = _fold(entries, limit)
    if last is not None:
        following = last
    return folded, None if following is None else str(following)


def _fold(entries: Iterable[Entry], limit: int) -> tuple[list[Line], int | None]:
    """Return the lines, and the number of the last entry in them if some did not fit."""
    folded: list[Line] = []
    open_lines: dict[Hashable, tuple[Line, datetime]] = {}
    last = None
    for entry in entries:
        key = _likeness(entry)
        line, at = open_lines.get(key, (None, None)) if key else (None, None)
        if line is not None and at is not None and entry.at and at - entry.at <= _TOGETHER:
            line.add(entry)
        elif len(folded) == limit:
            return folded, last
        else:
            line = Line(entry=entry)
            if entry.device_id is not None:
                line.devices[entry.device_id] = entry.device_name or entry.device_id
            folded.append(line)
        if key and entry.at:
            open_lines[key] = (line, entry.at)
        last = entry.id
    return folded, None


def _likeness(entry: Entry) -> Hashable:
    """Return what entries of one line have in common; None: it stands alone, as failures do."""
    match entry.kind:
        case "command.queued":
            return entry.kind, entry.data["request_type"], entry.data["status"], entry.day
        case "command.finished" if entry.data["status"] == "acknowledged":
            return entry.kind, entry.data["request_type"], entry.day
        case "link.opened" | "link.profile_fetched":
            return entry.kind, entry.data.get("link"), entry.day
        case _:
            return None
