"""Devices: what people ask about them, and what they decide."""

from __future__ import annotations

from collections.abc import Callable

from appliance.errors import InvalidRequest, NotFound
from appliance.services.channels import end_channels
from appliance.services.clock import HOUR, MINUTE, now_ms
from appliance.services.paging import entries_before
from appliance.store import devices, enrollments, events
from appliance.store.database import Connection, Database
from appliance.store.devices import Device, DeviceDetails
from appliance.store.enrollments import Known
from appliance.store.events import Event

_RETURNS_WITHIN_MS = HOUR  # of being unblocked, as `device allow-reenrollment` has it


class DeviceService:
    """Lists devices, and blocks, forgets or re-admits one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, query: str | None, cursor: str | None, limit: int, *, channel: str | None = "device"
    ) -> tuple[list[Device], str | None]:
        """Return devices by id, and the cursor of the next page, None after the last.

        Args:
            channel: "user" returns the channels of their users instead, None both.
        """
        found = await self._database.read(
            lambda db: devices.page(
                db, query=query, after=cursor or "", limit=limit + 1, channel=channel
            )
        )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def details(self, name: str) -> DeviceDetails:
        """Return one channel, by enrollment ID or serial number.

        Raises:
            NotFound: there is no such channel.
        """

        def unit(db: Connection) -> DeviceDetails:
            found = devices.details(db, devices.named(db, name))
            if found is None:
                raise NotFound("device", name)
            return found

        return await self._database.read(unit)

    async def events(
        self, name: str, cursor: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """Return what happened to a channel, newest first, and the cursor of the next page.

        Its commands are not among it: they have a history of their own.
        """
        before = entries_before(cursor)
        found = await self._database.read(
            lambda db: events.recent(
                db,
                enrollment_id=devices.named(db, name),
                before=before,
                limit=limit + 1,
                commands=False,
            )
        )
        return found[:limit], str(found[limit - 1].id) if len(found) > limit else None

    async def block(self, name: str) -> None:
        """Tell the device to leave at its next request, and keep it out until unblocked."""

        def act(db: Connection, device: Known, now: int) -> bool:
            if device.blocked:
                return False
            enrollments.set_blocked(db, device.id, now)
            return True

        await self._decide(name, "device.blocked", act)

    async def unblock(self, name: str) -> None:
        """Let a blocked device go on, or enroll again if it has left."""

        def act(db: Connection, device: Known, now: int) -> bool:
            if not device.blocked:
                return False
            enrollments.set_blocked(db, device.id, None)
            # One that came meanwhile was told to leave, and its identity went with it.
            enrollments.allow_reenrollment(db, device.id, now + _RETURNS_WITHIN_MS)
            return True

        await self._decide(name, "device.unblocked", act)

    async def forget(self, name: str) -> None:
        """End an enrollment on our side: its certificate stops counting, its queue is cleared."""

        def act(db: Connection, device: Known, now: int) -> bool:
            if device.state == "forgotten":
                return False
            end_channels(db, device.id, now)
            enrollments.end(db, device.id, state="forgotten", now=now)
            return True

        await self._decide(name, "device.forgotten", act)

    async def allow_reenrollment(self, name: str, minutes: int) -> None:
        """Let the device's next Authenticate bring a new identity, for so many minutes."""
        if not 1 <= minutes <= 7 * 24 * 60:
            raise InvalidRequest("minutes must be between 1 and 10080", pointer="/minutes")

        def act(db: Connection, device: Known, now: int) -> bool:
            enrollments.allow_reenrollment(db, device.id, now + minutes * MINUTE)
            return True

        await self._decide(name, "device.reenrollment_allowed", act)

    async def _decide(
        self, name: str, kind: str, act: Callable[[Connection, Known, int], bool]
    ) -> None:
        """Let `act` change a device, and record it as `kind` if it says that it did."""
        now = now_ms()

        def unit(db: Connection) -> None:
            enrollment_id = devices.named(db, name)
            device = enrollments.known(db, enrollment_id)
            if device is None:
                raise InvalidRequest(
                    f"{enrollment_id} is a user channel", fix="name the device it belongs to"
                )
            if act(db, device, now):
                events.add(db, kind, now, enrollment_id=enrollment_id)

        await self._database.write(unit)
