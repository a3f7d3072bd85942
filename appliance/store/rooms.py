"""Room for what waits for a receiver, and who gives way when there is none."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.store import deliveries
from appliance.store.database import Connection

_LOT = 100  # so much of it is freed at once, one in so many: looking who has the most takes 1 ms
_BY_DEVICE = """
SELECT {weight}, min(id), device_id
  FROM webhook_deliveries
 WHERE webhook_id = ? AND status = 'waiting'
 GROUP BY device_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much may wait for one receiver."""

    events: int
    bytes: int


def make(
    db: Connection, webhook_id: str, room: Room, *, waiting: int, waiting_bytes: int, now: int
) -> tuple[int, int]:
    """Forget the oldest events of the devices that have the most, where too much waits.

    So a device that says very much takes the room of nobody else. By events or by bytes, whichever
    is too much; the devices that have as much as each other give way by age.

    Returns how many events were dropped, and their bytes.
    """
    events = size = 0
    if waiting > room.events:
        least = waiting - room.events + room.events // _LOT
        for dropped in _from_who_has_most(db, webhook_id, now, by_bytes=False):
            events, size = events + 1, size + dropped
            if events >= least:
                break
    if waiting_bytes - size > room.bytes:
        least = waiting_bytes - room.bytes + room.bytes // _LOT
        for dropped in _from_who_has_most(db, webhook_id, now, by_bytes=True):
            events, size = events + 1, size + dropped
            if size >= least:
                break
    return events, size


def _from_who_has_most(
    db: Connection, webhook_id: str, now: int, *, by_bytes: bool
) -> Iterator[int]:
    """Drop one event after the other, as long as somebody asks; yields the size of each."""
    weight = "-sum(length(body))" if by_bytes else "-count(*)"
    devices = db.execute(_BY_DEVICE.format(weight=weight), (webhook_id,)).fetchall()
    heapq.heapify(devices)  # the one with the most first, and of those the one with the oldest
    while devices:
        most, oldest, device_id = devices[0]
        dropped, following = deliveries.drop(db, oldest, now)
        if following is None:
            heapq.heappop(devices)
        else:
            most += dropped if by_bytes else 1
            heapq.heapreplace(devices, (most, following, device_id))
        yield dropped
