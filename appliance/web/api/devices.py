"""`/api/v1/devices`: what is known of each device, and what may be done to its enrollment."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aiohttp import web

from appliance.services.renewals import Renewal
from appliance.store.devices import Device, DeviceDetails
from appliance.store.events import Event
from appliance.web.api.commands import command_answers
from appliance.web.api.operation import (
    Operation,
    answer,
    body_of,
    query_of,
    services_of,
)
from appliance.web.api.schema import (
    CommandAnswer,
    CommandsAnswer,
    DeviceAnswer,
    DeviceQuery,
    Page,
    PageQuery,
    ReenrollmentBody,
)


async def listing(request: web.Request) -> web.Response:
    """One page of devices."""
    query = query_of(request, DeviceQuery)
    items, cursor = await services_of(request).devices.page(
        query.q,
        query.cursor,
        query.limit,
        channel=None if query.channel == "all" else query.channel,
    )
    return answer(Page(items=items, next_cursor=cursor))


async def show(request: web.Request) -> web.Response:
    """One device."""
    return await _shown(request)


async def history(request: web.Request) -> web.Response:
    """One page of a device's commands, newest first."""
    query = query_of(request, PageQuery)
    records, cursor = await services_of(request).commands.history(
        _name(request), query.cursor, query.limit
    )
    items = await command_answers(records)
    return answer(Page(items=items, next_cursor=cursor))


async def events(request: web.Request) -> web.Response:
    """One page of what happened to a device, newest first."""
    query = query_of(request, PageQuery)
    items, cursor = await services_of(request).devices.events(
        _name(request), query.cursor, query.limit
    )
    return answer(Page(items=items, next_cursor=cursor))


async def block(request: web.Request) -> web.Response:
    """Refuse the device; at its next connect it removes the management."""
    await services_of(request).devices.block(_name(request))
    return await _shown(request)


async def unblock(request: web.Request) -> web.Response:
    """Lift the block."""
    await services_of(request).devices.unblock(_name(request))
    return await _shown(request)


async def forget(request: web.Request) -> web.Response:
    """End the enrollment on our side."""
    await services_of(request).devices.forget(_name(request))
    return await _shown(request)


async def allow_reenrollment(request: web.Request) -> web.Response:
    """Let the device bring a new identity, for a while."""
    body = await body_of(request, ReenrollmentBody)
    await services_of(request).devices.allow_reenrollment(_name(request), body.minutes)
    return await _shown(request)


async def renew_identity(request: web.Request) -> web.Response:
    """Queue the profile that makes the device fetch a new identity certificate."""
    queued = await services_of(request).renewals.renew(_name(request))
    return answer({"commands": [queued]}, status=202)


def _name(request: web.Request) -> str:
    return request.match_info["id"]


async def _shown(request: web.Request) -> web.Response:
    services = services_of(request)
    renewal = await services.renewals.of(_name(request))
    details = await services.devices.details(_name(request))  # after it: what waits is counted
    return answer(device_answer(details, renewal))


def device_answer(details: DeviceDetails, renewal: Renewal | None) -> DeviceAnswer:
    """Return `details` on one level, as the list has its first part, and the identity's renewal."""
    values: dict[str, Any] = {
        item.name: getattr(details.device, item.name) for item in fields(Device)
    }
    values |= {
        item.name: getattr(details, item.name)
        for item in fields(DeviceDetails)
        if item.name != "device"
    }
    if renewal is None:
        return DeviceAnswer(**values)
    return DeviceAnswer(
        **values,
        certificate_days_left=renewal.days_left,
        renewal=str(renewal.state),
        renewal_queued_at=renewal.queued_at,
        renewal_command=renewal.command_id,
        renewal_problem=renewal.problem or None,
    )


_DEVICE = "/api/v1/devices/{id}"

operations = (
    Operation(
        method="GET", path="/api/v1/devices", handler=listing, summary="List the devices",
        query=DeviceQuery, answer=Page[Device],
    ),
    Operation(
        method="GET", path=_DEVICE, handler=show, summary="Show one device", answer=DeviceAnswer
    ),
    Operation(
        method="GET", path=f"{_DEVICE}/commands", handler=history,
        summary="List a device's commands, newest first", query=PageQuery,
        answer=Page[CommandAnswer],
    ),
    Operation(
        method="GET", path=f"{_DEVICE}/events", handler=events,
        summary="List what happened to a device, newest first", query=PageQuery,
        answer=Page[Event],
    ),
    Operation(
        method="POST", path=f"{_DEVICE}/block", handler=block, scope="admin",
        summary="Block: the device removes its management when it next connects",
        answer=DeviceAnswer,
    ),
    Operation(
        method="POST", path=f"{_DEVICE}/unblock", handler=unblock, scope="admin",
        summary="Lift the block", answer=DeviceAnswer,
    ),
    Operation(
        method="POST", path=f"{_DEVICE}/forget", handler=forget, scope="admin",
        summary="End the enrollment on the server's side", answer=DeviceAnswer,
    ),
    Operation(
        method="POST", path=f"{_DEVICE}/allow-reenrollment", handler=allow_reenrollment,
        scope="admin", summary="Let the device enroll again with a new identity",
        body=ReenrollmentBody, answer=DeviceAnswer,
    ),
    Operation(
        method="POST", path=f"{_DEVICE}/renew-identity", handler=renew_identity, scope="write",
        summary="Send the device what it needs to renew its identity certificate",
        answer=CommandsAnswer, status=202,
    ),
)  # fmt: skip
