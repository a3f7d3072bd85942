"""Journeys of devices by one link: each begins with a profile, and ends with an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from appliance.store import events
from appliance.store.database import Connection, from_ms

_EVENTS_EACH = 25  # of a journey there are three or four; pages that are opened come between

_ON = """
SELECT c.enrollment_id, d.name, coalesce(json_extract(d.facts, '$.model_name'), d.model),
       CASE WHEN e.enrolled_at >= c.issued_at THEN e.enrolled_at END,
       CASE WHEN e.enrolled_at >= c.issued_at THEN
           (SELECT min(a.finished_at) FROM commands AS a
             WHERE a.enrollment_id = e.id AND a.status = 'acknowledged'
               AND a.finished_at >= e.enrolled_at)
       END
  FROM certificates AS c
  LEFT JOIN enrollments AS e ON e.id = c.enrollment_id
  LEFT JOIN devices AS d ON d.enrollment_id = c.enrollment_id
 WHERE c.serial = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """How far one downloaded profile has come; None: not so far, or not known."""

    profile: str  # what stands for it in events
    downloaded_at: datetime
    certified_at: datetime | None = None
    enrolled_at: datetime | None = None
    answered_at: datetime | None = None
    refused_at: datetime | None = None
    refusal: str = ""  # why there was no certificate, the last time
    serial: str = ""  # of the certificate
    device_id: str | None = None
    device_name: str | None = None
    model: str | None = None

    @property
    def stage(self) -> str:
        """The last thing that was reached: downloaded, certified, enrolled or answered."""
        if self.answered_at:
            return "answered"
        if self.enrolled_at:
            return "enrolled"
        return "certified" if self.certified_at else "downloaded"

    @property
    def is_refused(self) -> bool:
        """Whether the device asked for a certificate and got none."""
        return self.refused_at is not None and self.certified_at is None


def read(db: Connection, link: str, *, limit: int) -> list[events.Event]:
    """Return the events of a link, named by its reference, that `limit` journeys may have."""
    return events.of_link(db, link, limit=limit * _EVENTS_EACH)


def of_events(
    db: Connection, happened: list[events.Event], *, visit: str | None = None, limit: int
) -> list[Journey]:
    """Return the journeys that began last; newest first.

    Args:
        happened: what `read` gave.
        visit: those of one opened page alone.
    """
    begun: dict[str, Journey] = {}
    for event in reversed(happened):
        profile = event.data.get("profile")
        if profile is None:
            continue
        if visit is not None and profile not in begun and event.data.get("visit") != visit:
            continue
        journey = begun.pop(profile, None) or Journey(profile=profile, downloaded_at=event.at)
        begun[profile] = _after(journey, event)
    newest = sorted(begun.values(), key=lambda one: one.downloaded_at, reverse=True)
    return [_with_device(db, one) for one in newest[:limit]]


def _after(journey: Journey, event: events.Event) -> Journey:
    match event.kind:
        case "certificate.issued":
            return replace(journey, certified_at=event.at, serial=event.data["serial"])
        case "certificate.refused":
            return replace(journey, refused_at=event.at, refusal=event.data["reason"])
        case _:
            return journey


def _with_device(db: Connection, journey: Journey) -> Journey:
    row = db.execute(_ON, (journey.serial,)).fetchone() if journey.serial else None
    if row is None:
        return journey
    device_id, name, model, enrolled_at, answered_at = row
    return replace(
        journey, device_id=device_id, device_name=name, model=model,
        enrolled_at=from_ms(enrolled_at), answered_at=from_ms(answered_at),
    )  # fmt: skip
