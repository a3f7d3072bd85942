"""`/devices/{id}`: one device, what it said, what it was told, and what may be asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from aiohttp import web

from appliance.errors import NotFound
from appliance.mdm.catalogue import catalogue, check_support, device_information_queries, lacking
from appliance.mdm.device import DeviceFacts
from appliance.services.command_orders import CommandOrder
from appliance.services.device_page import DeviceOverview
from appliance.store.devices import Device
from appliance.web.authentication import CALLER
from appliance.web.board.facts import (
    Fact,
    battery_of,
    hardware_facts,
    network_facts,
    security_facts,
)
from appliance.web.board.inventory import Inventory, inventory_of
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.board.stages import Stage, stages_of
from appliance.web.board.wording import words_of
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import device_url
from appliance.web.sessions import form_of, see_other, signed_in

# Apple lets a device attest once in seven days, so it is not asked by the way.
_NOT_ASKED = frozenset({"DevicePropertiesAttestation"})

# What one click asks.
QUESTIONS: Mapping[str, str] = {
    "information": "DeviceInformation",
    "security": "SecurityInfo",
    "profiles": "ProfileList",
    "applications": "InstalledApplicationList",
    "certificates": "CertificateList",
    "updates": "AvailableOSUpdates",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """One command in the history."""

    id: str
    request_type: str
    words: str
    status: str
    stages: tuple[Stage, ...]
    queued_at: datetime | None
    held_until: datetime | None  # it can be undone until then
    held: bool  # until it is released: a restore did it
    was_restored: bool  # unfinished in a backup: the device may have had it since
    problem: str  # the first of the device's errors


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePage(BoardPage):
    """One channel: facts, lists, history."""

    template: ClassVar[str] = "board/device.html"
    section: ClassVar[str] = "devices"

    overview: DeviceOverview
    inventory: Inventory
    security: list[Fact]
    hardware: list[Fact]
    network: list[Fact]
    battery: float | None
    history: list[CommandRow]
    dangers: list[str]  # what it can do that cannot be taken back
    silent_before: datetime  # not heard of since then, it is silent
    ping: str  # what became of a push that was asked for just now: accepted, failed

    @property
    def device(self) -> Device:
        """The channel itself."""
        return self.overview.details.device

    @property
    def state(self) -> str:
        """The state as the list of devices names it: an enrolled one may be `silent`."""
        heard = self.device.last_seen
        if self.device.state == "enrolled" and self.device.erased:
            return "erased"
        if self.device.state == "enrolled" and heard and heard < self.silent_before:
            return "silent"
        return self.device.state

    @property
    def path(self) -> str:
        """The address of this page."""
        return device_url(self.device.id)


@signed_in
async def show(request: web.Request) -> web.StreamResponse:
    """GET /devices/{id}."""
    overview = await request.app[SERVICES].device_pages.overview(request.match_info["id"])
    # An answer may be megabytes; other people's pages must not wait for it.
    inventory = await asyncio.to_thread(inventory_of, overview)
    details, now = overview.details, datetime.now(UTC)
    information: Mapping[str, Any] = details.information or {}
    page = DevicePage(
        **frame(request),
        overview=overview,
        inventory=inventory,
        security=security_facts(information, details.security or {}, overview.facts),
        hardware=hardware_facts(information, overview.facts),
        network=network_facts(information),
        battery=battery_of(information),
        history=_rows(overview, now),
        dangers=_dangers(overview.facts),
        silent_before=now - timedelta(hours=request.app[CONFIG].mdm.silent_after_hours),
        ping=request.query.get("ping", ""),
    )
    return board_page(request, page)


@signed_in
async def ask(request: web.Request) -> web.StreamResponse:
    """POST /devices/{id}/ask/{what}: queue one of the safe questions."""
    await form_of(request)
    request_type = QUESTIONS.get(request.match_info["what"])
    if request_type is None:
        raise NotFound("question", request.match_info["what"])
    services = request.app[SERVICES]
    device, facts = await services.device_pages.target(request.match_info["id"])
    parameters = {"Queries": fitting_queries(facts)} if request_type == "DeviceInformation" else {}
    order = CommandOrder(
        targets=[device.id], request_type=request_type, parameters=parameters,
        by=request[CALLER].name,
    )  # fmt: skip
    (queued,) = await services.commands.enqueue(order)
    return see_other(f"{device_url(device.id)}#command-{queued.id}")


@signed_in
async def ping(request: web.Request) -> web.StreamResponse:
    """POST /devices/{id}/ping: wake the device; its page then says what Apple said."""
    await form_of(request)
    result = await request.app[SERVICES].push.request(request.match_info["id"])
    said = "accepted" if result.error is None else "failed"
    return see_other(f"{device_url(result.enrollment_id)}?ping={said}")


def fitting_queries(facts: DeviceFacts) -> list[str]:
    """Return what DeviceInformation can ask of a device, with nothing that it lacks."""
    return [
        name
        for name, query in device_information_queries().items()
        if name not in _NOT_ASKED and not lacking(query, facts)
    ]


def _dangers(facts: DeviceFacts) -> list[str]:
    specs = catalogue().values()
    return [
        spec.request_type
        for spec in specs
        if spec.dangerous and not check_support(spec, facts).refusals
    ]


def _rows(overview: DeviceOverview, now: datetime) -> list[CommandRow]:
    rows = []
    for record in overview.history:
        chain = record.error_chain
        problem = chain[0].get("us_english_description") if chain else ""
        rows.append(
            CommandRow(
                id=record.id, request_type=record.request_type, words=words_of(record.request_type),
                status=record.status, stages=stages_of(record, now), queued_at=record.queued_at,
                held_until=record.not_before if record.is_held(now) else None,
                held=record.held, was_restored=record.restored_at is not None,
                problem=problem or "",
            )
        )  # fmt: skip
    return rows


def routes() -> list[web.RouteDef]:
    """Return the routes of a device's page."""
    return [
        web.get("/devices/{id}", show),
        web.post("/devices/{id}/ask/{what}", ask),
        web.post("/devices/{id}/ping", ping),
    ]
