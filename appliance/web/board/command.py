"""`/commands/{uuid}`: one command with its four dots, what was sent, and the whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar

from aiohttp import web

from appliance.errors import (
    ApplianceError,
    ConfirmationRequired,
    InvalidRequest,
    ScopeMissing,
    TooMany,
)
from appliance.services.device_page import SentCommand
from appliance.store.command_records import CommandRecord
from appliance.store.devices import Device
from appliance.web.authentication import CALLER
from appliance.web.board.answers import Node, answer_tree, as_cli, as_curl, has_secrets, read, tree
from appliance.web.board.causes import Cause, cause_of
from appliance.web.board.readout import Block, is_partial, readout
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.board.stages import Stage, stages_of
from appliance.web.board.wording import words_of
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import device_url
from appliance.web.sessions import form_of, see_other, signed_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error of the device's chain, and what we know of it."""

    said: str
    said_in_english: str  # "" if that is the same
    domain: str
    code: str
    cause: Cause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A command on one channel, as its page shows it."""

    record: CommandRecord
    device: Device
    words: str
    stages: tuple[Stage, ...]
    held_until: datetime | None
    sent: tuple[Node, ...]
    readout: tuple[Block, ...]  # the answer in words
    is_partial: bool  # it was acknowledged, but something in it was refused
    answer: tuple[Node, ...]  # all of it, as Apple names it
    problems: tuple[Problem, ...]
    sent_withheld: bool  # it holds secrets, which are not shown
    answer_withheld: bool
    has_withheld: bool  # there is something left to show
    cli: str
    curl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPage(BoardPage):
    """One command, on each channel that it was queued for."""

    template: ClassVar[str] = "board/command.html"
    section: ClassVar[str] = "devices"

    channels: list[Channel]
    revealed: bool
    refused: Mapping[str, ApplianceError]  # why the secrets of a channel are not shown
    unconfirmed: ApplianceError | None  # why it is held still
    typed: str  # into the form that was refused

    @property
    def request_type(self) -> str:
        """What was sent."""
        return self.channels[0].record.request_type

    @property
    def id(self) -> str:
        """The CommandUUID."""
        return self.channels[0].record.id


@signed_in
async def show(request: web.Request) -> web.StreamResponse:
    """GET /commands/{uuid}."""
    found = await request.app[SERVICES].device_pages.command(request.match_info["uuid"])
    return await _respond(request, found)


@signed_in
async def reveal(request: web.Request) -> web.StreamResponse:
    """POST /commands/{uuid}/secrets: the page of one device with the secrets, for this once."""
    form = await form_of(request)
    caller, uuid, services = request[CALLER], request.match_info["uuid"], request.app[SERVICES]
    if "secrets" not in caller.scopes:
        raise ScopeMissing("this needs the scope secrets")
    target, reason = form.get("target"), form.get("reason", "")
    try:
        shown = await services.secrets.reveal(uuid, target=target, reason=reason, by=caller.name)
    except (InvalidRequest, TooMany) as error:
        found = await services.device_pages.command(uuid)
        refused = {target or found[0].device.id: error}
        return await _respond(request, found, refused=refused, typed=reason)
    return await _respond(request, [shown], reveal=True)


@signed_in
async def undo(request: web.Request) -> web.StreamResponse:
    """POST /commands/{uuid}/undo: cancel a command that no device has received."""
    await form_of(request)
    records = await request.app[SERVICES].commands.cancel(request.match_info["uuid"])
    return see_other(f"{device_url(records[0].target)}#command-{records[0].id}")


@signed_in
async def release(request: web.Request) -> web.StreamResponse:
    """POST /commands/{uuid}/release: send a command that a restore has held."""
    form = await form_of(request)
    caller, uuid, services = request[CALLER], request.match_info["uuid"], request.app[SERVICES]
    serial = form.get("serial_number", "").strip()
    try:
        records = await services.commands.release(
            uuid, serial, may_danger="danger" in caller.scopes, by=caller.name
        )
    except ConfirmationRequired as error:
        found = await services.device_pages.command(uuid)
        return await _respond(request, found, unconfirmed=error, typed=serial)
    return see_other(f"{device_url(records[0].target)}#command-{records[0].id}")


async def _respond(
    request: web.Request,
    found: list[SentCommand],
    *,
    reveal: bool = False,
    refused: Mapping[str, ApplianceError] = MappingProxyType({}),
    unconfirmed: ApplianceError | None = None,
    typed: str = "",
) -> web.Response:
    url, now = request.app[CONFIG].server.base_url, datetime.now(UTC)

    def channels() -> list[Channel]:
        return [_channel(one, url, now, reveal=reveal) for one in found]

    # An answer may be megabytes; other people's pages must not wait for it.
    shown = await asyncio.to_thread(channels)
    page = CommandPage(
        **frame(request), channels=shown, revealed=reveal,
        refused=refused, unconfirmed=unconfirmed, typed=typed,
    )  # fmt: skip
    return board_page(request, page, refused=unconfirmed or next(iter(refused.values()), None))


def _channel(one: SentCommand, url: str, now: datetime, *, reveal: bool) -> Channel:
    record = one.record
    sent_withheld = one.payload.sealed
    command = {} if sent_withheld else _parameters(read(one.payload.body))
    answer = {} if record.answer_sealed else read(record.answer)
    kept = bool(one.payload.body) and sent_withheld
    return Channel(
        record=record,
        device=one.device,
        words=words_of(record.request_type),
        stages=stages_of(record, now),
        held_until=record.not_before if record.is_held(now) else None,
        sent=tree(command, reveal=reveal),
        readout=readout(answer, command, reveal=reveal),
        is_partial=is_partial(answer),
        answer=answer_tree(answer, reveal=reveal),
        problems=tuple(_problem(error) for error in record.error_chain),
        sent_withheld=sent_withheld,
        answer_withheld=record.answer_sealed,
        has_withheld=kept or record.answer_sealed or (not reveal and has_secrets(answer)),
        cli="" if sent_withheld else as_cli(record.target, record.request_type, command),
        curl="" if sent_withheld else as_curl(url, record.target, record.request_type, command),
    )


def _problem(error: Mapping[str, Any]) -> Problem:
    domain, code = error.get("error_domain"), error.get("error_code")
    english = str(error.get("us_english_description") or "")
    said = str(error.get("localized_description") or english)
    return Problem(
        said=said, said_in_english=english if english != said else "",
        domain=str(domain or ""), code="" if code is None else str(code),
        cause=cause_of(domain, code),
    )  # fmt: skip


def _parameters(message: Mapping[str, Any]) -> dict[str, Any]:
    command = message.get("Command")
    if not isinstance(command, dict):
        return {}
    return {key: value for key, value in command.items() if key != "RequestType"}


def routes() -> list[web.RouteDef]:
    """Return the routes of a command's page."""
    return [
        web.get("/commands/{uuid}", show),
        web.post("/commands/{uuid}/secrets", reveal),
        web.post("/commands/{uuid}/undo", undo),
        web.post("/commands/{uuid}/release", release),
    ]
