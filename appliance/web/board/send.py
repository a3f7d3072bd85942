"""`/devices/{id}/send/…`: any command of the catalogue, by a form; dangerous ones with an undo."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from appliance.errors import (
    ApplianceError,
    Busy,
    ConfirmationRequired,
    Conflict,
    InvalidRequest,
    MalformedMessage,
    TooMany,
)
from appliance.mdm.catalogue import (
    COMMON_KEYS,
    CommandSpec,
    KeySpec,
    catalogue,
    check_support,
    command_spec,
)
from appliance.mdm.device import DeviceFacts
from appliance.services.command_orders import CommandOrder
from appliance.store.devices import Device
from appliance.web.authentication import CALLER, GATE
from appliance.web.board import forms
from appliance.web.board.device import fitting_queries
from appliance.web.board.forms import Field, Filled
from appliance.web.board.once import ONCE_FIELD, form_request, new_once
from appliance.web.board.shell import BoardPage, board_page, frame
from appliance.web.board.wording import GROUPS, LOSSES, words_of
from appliance.web.bodies import BROKEN_FORM, media_type, read_body
from appliance.web.keys import CONFIG, SERVICES
from appliance.web.pages import device_url
from appliance.web.sessions import CSRF_FIELD, see_other, signed_in, verify_csrf

UNDO_SECONDS = 10

_MOST_FIELDS = 2000
# aiohttp takes the leading slash from the names of a multipart form, and with it a pointer's first.
_KEY = "key:"
_PLIST = "plist"
_SERIAL = "confirm"
_REASON = "reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One command in the list; `refusal` tells why this channel cannot do it."""

    request_type: str
    words: str
    is_dangerous: bool
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePage(BoardPage):
    """Every command, grouped; what the device cannot do is there with its reason."""

    template: ClassVar[str] = "board/send_list.html"
    section: ClassVar[str] = "devices"

    device: Device
    path: str
    search: str
    groups: Mapping[str, list[Choice]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPage(BoardPage):
    """The form of one command. `errors` are by the pointer of their field, "" for the whole."""

    template: ClassVar[str] = "board/send.html"
    section: ClassVar[str] = "devices"

    device: Device
    path: str
    request_type: str
    words: str
    loss: str
    is_dangerous: bool
    refusals: list[str]
    warnings: list[str]
    fields: tuple[Field, ...]
    errors: Mapping[str, ApplianceError]
    sends_plist: bool  # that is what was refused: its main button tries that again
    plist: str = ""
    confirm: str = ""
    reason: str = ""
    activation_lock: bool | None = None
    undo_seconds: int = UNDO_SECONDS
    once: str  # of this copy of the form

    @property
    def main_fields(self) -> list[Field]:
        """What is filled in now and then."""
        return [field for field in self.fields if not _is_rare(field)]

    @property
    def more_fields(self) -> list[Field]:
        """What every command may carry, and what this device leaves out."""
        return [field for field in self.fields if _is_rare(field)]


def _is_rare(field: Field) -> bool:
    return not field.required and (field.key in COMMON_KEYS or bool(field.lacking))


@signed_in
async def choose(request: web.Request) -> web.StreamResponse:
    """GET /devices/{id}/send: what can be sent."""
    device, facts = await request.app[SERVICES].device_pages.target(request.match_info["id"])
    search = request.query.get("q", "").strip()[:100]
    groups = {
        title: sorted(
            (
                _choice(catalogue()[name], words, device, facts)
                for name, words in group.items()
                if search.lower() in name.lower()
            ),
            key=lambda choice: bool(choice.refusal),
        )
        for title, group in GROUPS.items()
    }
    page = ChoicePage(
        **frame(request), device=device, path=device_url(device.id), search=search,
        groups={title: choices for title, choices in groups.items() if choices},
    )  # fmt: skip
    return board_page(request, page)


@signed_in
async def form(request: web.Request) -> web.StreamResponse:
    """GET /devices/{id}/send/{RequestType}; fields may be filled by the query."""
    values: dict[str, list[str]] = {}
    for name, value in request.query.items():
        values.setdefault(name, []).append(value)
    device, facts = await request.app[SERVICES].device_pages.target(request.match_info["id"])
    spec = command_spec(request.match_info["request_type"])
    if spec.request_type == "DeviceInformation" and "/Queries" not in values:
        values["/Queries"] = fitting_queries(facts)
    return await _form(request, device, facts, Filled(values=values))


@signed_in
async def send(request: web.Request) -> web.StreamResponse:
    """POST /devices/{id}/send/{RequestType}: queue it, or show the form with what is wrong."""
    filled = await _filled(request)
    verify_csrf(request, {name: filled.one(name) for name in filled.values})
    services = request.app[SERVICES]
    device, facts = await services.device_pages.target(request.match_info["id"])
    keys = _keys(command_spec(request.match_info["request_type"]))
    changed = _with_other_items(filled, keys)
    if changed is not None:
        return await _form(request, device, facts, changed)
    try:
        order = _order(request, device, keys, filled)
        (queued,) = await services.commands.enqueue(order)
    except (InvalidRequest, Conflict, MalformedMessage, TooMany, Busy) as error:
        return await _form(request, device, facts, _kept(filled), error)
    return see_other(f"{device_url(device.id)}#command-{queued.id}")


def _choice(spec: CommandSpec, words: str, device: Device, facts: DeviceFacts) -> Choice:
    support = check_support(spec, facts, user_channel=device.channel == "user")
    return Choice(
        request_type=spec.request_type, words=words, is_dangerous=spec.dangerous,
        refusal=next(iter(support.refusals), "").removeprefix(f"{spec.request_type} "),
    )  # fmt: skip


def _keys(spec: CommandSpec) -> dict[str, KeySpec]:
    keys: dict[str, KeySpec] = {**spec.keys, **COMMON_KEYS}
    if spec.request_type == "ClearPasscode":  # the escrowed token is filled in
        keys["UnlockToken"] = KeySpec(type="data")
    return keys


async def _form(
    request: web.Request,
    device: Device,
    facts: DeviceFacts,
    filled: Filled,
    error: ApplianceError | None = None,
) -> web.Response:
    spec = command_spec(request.match_info["request_type"])
    support = check_support(spec, facts, user_channel=device.channel == "user")
    asks_for_serial = isinstance(error, ConfirmationRequired)
    details = await request.app[SERVICES].devices.details(device.parent_id or device.id)
    lock = (details.information or {}).get("IsActivationLockEnabled")
    page = FormPage(
        **frame(request),
        device=device,
        path=device_url(device.id),
        request_type=spec.request_type,
        words=words_of(spec.request_type),
        loss=LOSSES.get(spec.request_type, ""),
        is_dangerous=spec.dangerous or asks_for_serial or bool(filled.one(_SERIAL)),
        refusals=support.refusals,
        warnings=support.warnings,
        fields=forms.fields_of(_keys(spec), filled, facts),
        errors={_field_of(error, filled): error} if error else {},
        sends_plist=filled.one("how") == _PLIST,
        plist=filled.one(_PLIST),
        confirm=filled.one(_SERIAL),
        reason=filled.one(_REASON),
        activation_lock=lock if isinstance(lock, bool) else None,
        once=new_once(),
    )
    return board_page(request, page, refused=error)


def _order(
    request: web.Request, device: Device, keys: Mapping[str, KeySpec], filled: Filled
) -> CommandOrder:
    caller, serial = request[CALLER], filled.one(_SERIAL).strip()
    sent = {name: value for name, value in filled.values.items() if name != CSRF_FIELD}
    reason = filled.one(_REASON).strip()
    is_dangerous = _SERIAL in filled.values
    if is_dangerous and not reason:
        raise InvalidRequest("a reason is required", code="command.reason", pointer="/reason")
    what: dict[str, Any] = {"plist": filled.one(_PLIST).encode()}
    if filled.one("how") != _PLIST:
        request_type = request.match_info["request_type"]
        parameters = forms.parameters_of(keys, filled)
        what = {"request_type": request_type, "parameters": parameters}
    return CommandOrder(
        targets=[device.id],
        may_danger="danger" in caller.scopes,
        most_dangerous=request.app[GATE].danger_quota(request),
        confirm={"serial_number": serial} if is_dangerous else None,
        undo_seconds=UNDO_SECONDS if is_dangerous else 0,
        reason=reason,
        by=caller.name,
        request=form_request(request, filled.one(ONCE_FIELD), [sent, filled.files]),
        **what,
    )


def _with_other_items(filled: Filled, keys: Mapping[str, KeySpec]) -> Filled | None:
    """Return the form with a fieldset more or less, None if neither button was pressed."""
    added, removed = filled.one("add"), filled.one("remove")
    if added:
        key = keys.get(added.removeprefix("/"))
        element = key.element if key is not None else None
        return forms.with_item(_kept(filled), added, element, filled.one(f"variant:{added}"))
    return forms.without_item(_kept(filled), removed) if removed else None


def _kept(filled: Filled) -> Filled:
    """Return the form with its files as text, as a page cannot fill in a file."""
    texts = {name: [base64.b64encode(body).decode()] for name, body in filled.files.items()}
    return replace(filled, values={**filled.values, **texts}, files={})


def _field_of(error: ApplianceError, filled: Filled) -> str:
    pointer = str(getattr(error, "pointer", ""))
    is_elsewhere = isinstance(error, ConfirmationRequired | TooMany | Busy)
    if filled.one("how") == _PLIST and not is_elsewhere and pointer != f"/{_REASON}":
        return f"/{_PLIST}"
    return pointer.removeprefix("/parameters")


async def _filled(request: web.Request) -> Filled:
    """Read a form with files, or one without.

    Raises:
        MalformedMessage, TooLarge: it is neither, or too large.
    """
    limits = request.app[CONFIG].limits
    values: dict[str, list[str]] = {}
    if media_type(request) != "multipart/form-data":
        body = await read_body(request, limits.result_body_kib * 1024)
        try:
            pairs = await asyncio.to_thread(
                parse_qsl, body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            raise MalformedMessage("the form cannot be read") from error
        for name, value in pairs:
            values.setdefault(name.removeprefix(_KEY), []).append(value)
        return Filled(values=values)
    files: dict[str, bytes] = {}
    try:
        async with asyncio.timeout(limits.body_seconds):
            posted = await request.post()
    except BROKEN_FORM as error:
        raise MalformedMessage("the form cannot be read") from error
    for name, part in posted.items():
        if isinstance(part, web.FileField):
            content = part.file.read()
            if content:
                files[name.removeprefix("file:")] = content
        elif isinstance(part, str):
            values.setdefault(name.removeprefix(_KEY), []).append(part)
    return Filled(values=values, files=files)


def routes() -> list[web.RouteDef]:
    """Return the routes of sending a command."""
    return [
        web.get("/devices/{id}/send", choose),
        web.get("/devices/{id}/send/{request_type}", form),
        web.post("/devices/{id}/send/{request_type}", send),
    ]
