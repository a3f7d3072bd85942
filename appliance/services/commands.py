"""Commands: checked before they are queued, handed out one at a time, answered once."""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from appliance import logs
from appliance.errors import ConfirmationRequired, Conflict, InvalidRequest, NotFound, ScopeMissing
from appliance.mdm.catalogue import build_command, catalogue, check_support
from appliance.mdm.command import CommandResult, Status, encode_command, parse_command
from appliance.mdm.profile import enrollment_profile_identifier
from appliance.services.clock import now_ms
from appliance.services.identity import check_dates
from appliance.services.live import LiveEvents
from appliance.services.paging import entries_before
from appliance.services.results import apply_result
from appliance.services.vault import Vault
from appliance.store import commands, devices, enrollments, escrow, events, pushes
from appliance.store.commands import CommandRecord, HandedOut, NewCommand
from appliance.store.database import Connection, Database
from appliance.store.devices import Device
from appliance.wire.cms import Signer

logger = logging.getLogger(__name__)

_MOST_TARGETS = 10_000
_LONGEST_WAIT_SECONDS = 3600

# Their parameters unlock, lock or watch a device.
_SECRET_COMMANDS = frozenset({
    "AccountConfiguration", "ClearPasscode", "DeviceLock", "EraseDevice", "RequestMirroring",
    "RotateFileVaultKey", "SetAutoAdminPassword", "SetFirmwarePassword", "SetRecoveryLock",
    "VerifyFirmwarePassword", "VerifyRecoveryLock",
})  # fmt: skip
_SECRET_ANSWERS = frozenset({
    "ActivationLockBypassCode", "RequestUnlockToken", "RotateFileVaultKey",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOrder:
    """What a caller wants sent; either `request_type` with `parameters`, or `plist`."""

    targets: list[str]
    request_type: str | None = None
    parameters: dict[str, Any] | None = None
    plist: bytes | None = None
    push: bool = True
    expires_at: datetime | None = None
    may_danger: bool = False
    confirm: dict[str, Any] | None = None
    confirmation: bool = True  # false for the compatible APIs, whose tools cannot give one
    secret: bool = False  # sealed at rest, as commands are whose type says that they hold secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One command that is on the disk now."""

    id: str
    target: str
    status: str = "queued"
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    request_type: str
    parameters: Mapping[str, Any]
    payload: bytes | None  # the caller's own plist
    uuid: str | None
    is_secret: bool


class CommandService:
    """Queues commands for people and programs, and answers devices."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        wake: Callable[[], None],
        server_url: str,
        live: LiveEvents,
    ) -> None:
        self._database = database
        self._live = live
        self._vault = vault
        self._wake = wake
        self._management_profile = enrollment_profile_identifier(server_url)

    async def report_and_next(
        self, signer: Signer, result: CommandResult, answer: bytes
    ) -> bytes | None:
        """Record a device's report and return its next command, None if nothing waits.

        Raises:
            NotAuthorized: the certificate may not speak for this enrollment.
            EnrollmentBlocked: it may, and an administrator blocked the enrollment.
        """
        now = now_ms()
        check_dates(signer, now)
        enrollment = result.enrollment
        idle = result.status is Status.IDLE

        def protect(request_type: str, command_uuid: str, body: bytes) -> tuple[bytes, bool]:
            if request_type not in _SECRET_ANSWERS:
                return body, False
            return self._vault.seal("answer", f"{command_uuid}:{enrollment.id}", body), True

        def unit(db: Connection) -> HandedOut | None:
            enrollments.authorize(db, enrollment, signer.sha256)
            enrollments.touch(db, enrollment.id, now)
            if not idle:
                finished = commands.report(db, result, answer, now, protect=protect)
                if finished is not None:
                    apply_result(db, result, finished, now)
            return commands.next_command(db, enrollment.id, idle=idle, now=now)

        following = await self._database.write(unit)
        if following is None:
            return None
        self._live.command("connected", enrollment.id, following.uuid, following.request_type)
        if not following.sealed:
            return following.payload
        return self._vault.open("command", f"{following.uuid}:{enrollment.id}", following.payload)

    async def enqueue(self, order: CommandOrder) -> list[Queued]:
        """Queue one command for each target: all of them, or none.

        Raises:
            NotFound: an unknown target, by name.
            InvalidRequest: the command is not of the catalogue's form, or a device is known
                not to support it.
            ConfirmationRequired, ScopeMissing: a dangerous command without its safeguards.
            Conflict: the device has left, or had a command of this UUID.
        """
        if not order.targets or len(order.targets) > _MOST_TARGETS:
            raise InvalidRequest(f"name 1 to {_MOST_TARGETS} targets", pointer="/targets")
        draft = _draft(order)
        now = now_ms()
        expires_at = None if order.expires_at is None else int(order.expires_at.timestamp() * 1000)
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("expires_at lies in the past", pointer="/expires_at")

        def unit(db: Connection) -> list[Queued]:
            found = [_target(db, name) for name in order.targets]
            targets = list({target.id: target for target in found}.values())
            if self._is_dangerous(draft):
                _check_danger(order, draft, targets)
            made = [self._make(db, draft, target, expires_at) for target in targets]
            commands.enqueue(db, [row for row, _ in made], now)
            if order.push:
                for target in targets:
                    pushes.request(db, target.id, now)
            return [
                Queued(id=row.uuid, target=row.enrollment_id, warnings=warnings)
                for row, warnings in made
            ]

        queued = await self._database.write(unit)
        if order.push:
            self._wake()
        logger.info(
            "commands queued",
            extra={logs.REQUEST_TYPE: draft.request_type, logs.COUNT: len(queued)},
        )
        return queued

    async def get(self, command_uuid: str) -> list[CommandRecord]:
        """Return the command, once for each channel it was queued for.

        Raises:
            NotFound: there never was such a command.
        """
        now = now_ms()
        found = await self._database.read(lambda db: commands.find(db, command_uuid, now))
        if not found:
            raise NotFound("command", command_uuid)
        return self._unsealed(found)

    async def history(
        self, name: str, cursor: str | None, limit: int
    ) -> tuple[list[CommandRecord], str | None]:
        """Return a channel's commands, newest first, and the cursor of the next page.

        Raises:
            NotFound: there is no such channel.
            InvalidRequest: a cursor that is not one of ours.
        """
        before, now = entries_before(cursor), now_ms()

        def unit(db: Connection) -> list[CommandRecord]:
            channel = devices.named(db, name)
            return commands.history(db, channel, before=before, limit=limit + 1, now=now)

        found = await self._database.read(unit)
        is_full = commands.answer_bytes(found) >= commands.MOST_ANSWER_BYTES
        page = found[:limit]
        more = len(found) > limit or is_full
        return self._unsealed(page), str(page[-1].sequence) if more else None

    async def cancel(self, command_uuid: str) -> list[CommandRecord]:
        """Cancel the command where it has not been handed to the device.

        Raises:
            NotFound: there never was such a command.
            Conflict: every device has received it already.
        """
        now = now_ms()

        def unit(db: Connection) -> list[CommandRecord]:
            if not commands.find(db, command_uuid, now):
                raise NotFound("command", command_uuid)
            if not commands.cancel(db, command_uuid, now):
                raise Conflict(
                    f"command {command_uuid} can no longer be cancelled",
                    code="command.not_cancellable",
                    why="it was delivered or is finished",
                )
            events.add(db, "command.cancelled", now, data={"id": command_uuid})
            return commands.find(db, command_uuid, now)

        return self._unsealed(await self._database.write(unit))

    async def wait(self, command_uuid: str, seconds: float) -> list[CommandRecord]:
        """Return the command when it is finished, or as it is after `seconds`."""
        deadline = asyncio.get_running_loop().time() + min(seconds, _LONGEST_WAIT_SECONDS)
        # Only the last look reads the answer, which may be large.
        while not await self._database.read(
            lambda db: commands.finished(db, command_uuid, now_ms())
        ):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.sleep(min(0.25, left))
        return await self.get(command_uuid)

    def _unsealed(self, records: list[CommandRecord]) -> list[CommandRecord]:
        return [
            self._unsealed_one(record) if record.answer_sealed else record for record in records
        ]

    def _unsealed_one(self, record: CommandRecord) -> CommandRecord:
        answer = self._vault.open("answer", f"{record.id}:{record.target}", record.answer or b"")
        return replace(record, answer=answer, answer_sealed=False)

    def _is_dangerous(self, draft: _Draft) -> bool:
        if draft.request_type == "RemoveProfile":
            return draft.parameters.get("Identifier") == self._management_profile
        spec = catalogue().get(draft.request_type)
        return spec is not None and spec.dangerous

    def _make(
        self, db: Connection, draft: _Draft, target: Device, expires_at: int | None
    ) -> tuple[NewCommand, list[str]]:
        """Return the command for one target, and what may not work on it."""
        command_uuid = draft.uuid or str(uuid.uuid4())
        if commands.exists(db, command_uuid, target.id):
            raise Conflict(
                f"{target.id} has had a command {command_uuid}", code="command.duplicate"
            )
        parameters = dict(draft.parameters)
        if draft.payload is None and draft.request_type == "ClearPasscode":
            self._add_unlock_token(db, target, parameters)
        warnings = _check_support(db, draft, target, parameters)
        payload = draft.payload or encode_command(
            command_uuid, build_command(draft.request_type, parameters)
        )
        if draft.is_secret:
            payload = self._vault.seal("command", f"{command_uuid}:{target.id}", payload)
        row = NewCommand(
            uuid=command_uuid,
            enrollment_id=target.id,
            request_type=draft.request_type,
            payload=payload,
            sealed=draft.is_secret,
            expires_at=expires_at,
        )
        return row, warnings

    def _add_unlock_token(self, db: Connection, target: Device, parameters: dict[str, Any]) -> None:
        if "UnlockToken" in parameters:
            return
        sealed = escrow.current(db, target.id, "unlock_token")
        if sealed is None:
            raise InvalidRequest(
                f"{target.id} has escrowed no unlock token",
                code="command.unlock_token_missing",
                why="only iPhones and iPads send one, when they enroll",
            )
        token = self._vault.open("unlock_token", target.id, sealed)
        parameters["UnlockToken"] = base64.b64encode(token).decode()


def _draft(order: CommandOrder) -> _Draft:
    if order.plist is not None:
        if order.request_type is not None or order.parameters is not None:
            raise InvalidRequest("give either plist or request_type", pointer="/plist")
        raw = parse_command(order.plist)
        return _Draft(
            request_type=raw.request_type, parameters=raw.command.value, payload=raw.payload,
            uuid=raw.command_uuid,
            is_secret=order.secret or raw.request_type in _SECRET_COMMANDS,
        )  # fmt: skip
    if order.request_type is None:
        raise InvalidRequest("request_type is missing", pointer="/request_type")
    parameters = order.parameters or {}
    if order.request_type != "ClearPasscode":  # its token is filled in per device
        build_command(order.request_type, parameters)
    return _Draft(
        request_type=order.request_type, parameters=parameters, payload=None, uuid=None,
        is_secret=order.secret or order.request_type in _SECRET_COMMANDS,
    )  # fmt: skip


def _target(db: Connection, name: str) -> Device:
    device = devices.get(db, devices.named(db, name))
    if device is None:
        raise NotFound("device", name, fix="see `appliance device list`")
    if device.state not in ("enrolled", "authenticated"):
        raise Conflict(
            f"{device.id} is not enrolled: {device.state}",
            code="device.not_enrolled",
            fix="it takes commands again once it has enrolled anew",
        )
    return device


def _check_support(
    db: Connection, draft: _Draft, target: Device, parameters: dict[str, Any]
) -> list[str]:
    """Refuse what the device is known not to support; return what is only doubtful."""
    spec = catalogue().get(draft.request_type)
    facts = devices.facts(db, target.parent_id or target.id)
    if spec is None or facts is None:
        return []
    is_raw = draft.payload is not None
    support = check_support(
        spec,
        facts,
        user_channel=target.channel == "user",
        parameters=None if is_raw else parameters,
    )
    if support.refusals and not is_raw:
        raise InvalidRequest(
            f"{target.id}: {support.refusals[0]}",
            code="command.not_supported",
            why="what is known of the device rules the command out",
        )
    return [*support.refusals, *support.warnings]


def _check_danger(order: CommandOrder, draft: _Draft, targets: list[Device]) -> None:
    if not order.may_danger:
        raise ScopeMissing(
            f"{draft.request_type} needs the scope danger",
            fix="use a token made with `appliance token create NAME --scope danger`",
        )
    if not order.confirmation:
        return
    if len(targets) != 1:
        raise ConfirmationRequired(
            f"{draft.request_type} is sent to one device at a time", pointer="/targets"
        )
    expected = targets[0].serial_number or targets[0].id
    if (order.confirm or {}).get("serial_number") != expected:
        raise ConfirmationRequired(
            f"{draft.request_type} must be confirmed",
            pointer="/confirm/serial_number",
            why="it cannot be undone",
            fix="repeat it with confirm.serial_number set to the device's serial number",
        )
