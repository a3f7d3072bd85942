"""What callers order: read, and checked against catalogue, devices and safeguards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.errors import (
    ConfirmationRequired,
    Conflict,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    ScopeMissing,
    TooMany,
)
from appliance.mdm.catalogue import build_command, catalogue, check_support
from appliance.mdm.command import parse_command
from appliance.mdm.profile import is_of_enrollment, manages
from appliance.services.clock import HOUR, given_ms, wait_seconds
from appliance.services.repeats import Request
from appliance.store import certificates, devices, events, pushes
from appliance.store.command_records import CommandRecord
from appliance.store.commands import NewCommand
from appliance.store.database import Connection
from appliance.store.devices import Device

_LONGEST_UNDO_SECONDS = 60
_LONGEST_REASON = 500

# Their parameters unlock, lock or watch a device, or hold passwords: of networks and accounts in a
# profile, say.
_SECRET_COMMANDS = frozenset({
    "AccountConfiguration", "ApplyRedemptionCode", "ClearPasscode", "DeviceLock", "EraseDevice",
    "InstallProfile", "RequestMirroring", "RotateFileVaultKey", "SetAutoAdminPassword",
    "SetFirmwarePassword", "SetRecoveryLock", "VerifyFirmwarePassword", "VerifyRecoveryLock",
})  # fmt: skip

# Why they must be confirmed, of those that most often need not be.
_REASONS = {
    "InstallProfile": "the profile replaces the one that manages the device, or cannot be read",
    "RemoveProfile": "without its management profile the device leaves this server",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOrder:
    """What a caller wants sent; either `request_type` with `parameters`, or `plist`."""

    targets: list[str]
    request_type: str | None = None
    parameters: dict[str, Any] | None = None
    plist: bytes | None = None
    uuid: str | None = None  # of the command, else one is made; a plist has its own
    push: bool = True
    expires_at: datetime | None = None
    may_danger: bool = False
    confirm: dict[str, Any] | None = None
    confirmation: bool = True  # false for the compatible APIs, whose tools cannot give one
    most_dangerous: int | None = None  # of `by` within an hour; None: they are not counted
    is_alone: bool = True  # false: one of several that one request orders
    secret: bool = False  # sealed at rest, as commands are whose type says that they hold secrets
    undo_seconds: float = 0  # held for so long, while it can be cancelled with nothing sent
    reason: str = ""  # why, for the audit; never a secret
    by: str = ""  # who, for the audit
    request: Request | None = None  # may be repeated, and is done once


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One command that is on the disk now."""

    id: str
    target: str
    status: str = "queued"
    not_before: datetime | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """From when and until when a command may be handed out; Unix ms, None: no bound."""

    expires_at: int | None
    not_before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an order says is to be sent, read once for all its targets."""

    request_type: str
    parameters: Mapping[str, Any]
    command: Mapping[str, Any]  # as the device reads it; of a ClearPasscode, without its token
    payload: bytes | None  # of the caller's own plist
    uuid: str | None
    is_secret: bool


def moments_of(order: CommandOrder, now: int) -> Moments:
    """Return from when and until when the command may be handed out.

    Raises:
        InvalidRequest: outside of what is allowed, or never.
    """
    if not 0 <= order.undo_seconds <= _LONGEST_UNDO_SECONDS:
        raise InvalidRequest(
            f"undo_seconds is 0 to {_LONGEST_UNDO_SECONDS}", pointer="/undo_seconds"
        )
    not_before = now + int(order.undo_seconds * 1000) if order.undo_seconds else None
    if order.expires_at is None:
        return Moments(expires_at=None, not_before=not_before)
    expires_at = given_ms(order.expires_at, "/expires_at")
    if expires_at <= (not_before or now):
        when = "before the command is sent" if not_before else "in the past"
        raise InvalidRequest(f"expires_at lies {when}", pointer="/expires_at")
    return Moments(expires_at=expires_at, not_before=not_before)


def refuse_more_dangers(db: Connection, order: CommandOrder, now: int) -> None:
    """Let nobody wipe a fleet, not by one request after the other either.

    Raises:
        TooMany: the caller has ordered as many as an hour allows; the record counts, so a restart
            changes nothing.
    """
    most = order.most_dangerous
    if most is None:
        return
    times = events.dangers_ordered(db, order.by, since=now - HOUR)
    wait = wait_seconds(times, most, now)
    if not wait:
        return
    raise TooMany(
        f"{most} dangerous commands an hour were ordered by you",
        wait,
        why="that no stolen session or token can erase a whole fleet",
        fix="come back later, or raise limits.dangerous_per_hour; on the server itself they are "
        "not counted",
    )


def audit(
    db: Connection, order: CommandOrder, rows: list[NewCommand], now: int, *, dangerous: bool
) -> None:
    """Record who ordered what, and why."""
    for row in rows:
        data = {
            "id": row.uuid, "request_type": row.request_type, "reason": order.reason,
            "by": order.by, "not_before": row.not_before,
        }  # fmt: skip
        if dangerous:
            data["dangerous"] = True
        events.add(db, "command.ordered", now, enrollment_id=row.enrollment_id, data=data)


def announce(db: Connection, rows: list[NewCommand], now: int) -> None:
    """Ask for the pushes: now, or when a held command is released."""
    for row in rows:
        if row.not_before is None:
            pushes.request(db, row.enrollment_id, now)
        else:
            pushes.request_at(db, row.enrollment_id, row.not_before)


def draft_of(order: CommandOrder) -> Draft:
    """Return what is to be sent.

    Raises:
        InvalidRequest, MalformedMessage: it is not of the form of a command.
    """
    if len(order.reason) > _LONGEST_REASON:
        raise InvalidRequest(
            f"a reason has at most {_LONGEST_REASON} characters", pointer="/reason"
        )
    if order.plist is not None:
        if order.request_type is not None or order.parameters is not None:
            raise InvalidRequest("give either plist or request_type", pointer="/plist")
        raw = parse_command(order.plist)
        return Draft(
            request_type=raw.request_type, parameters=raw.command.value,
            command=raw.command.value, payload=raw.payload, uuid=raw.command_uuid,
            is_secret=order.secret or raw.request_type in _SECRET_COMMANDS,
        )  # fmt: skip
    if order.request_type is None:
        raise InvalidRequest("request_type is missing", pointer="/request_type")
    command = parameters = order.parameters or {}
    if order.request_type != "ClearPasscode":  # its token is filled in per device
        command = build_command(order.request_type, parameters)
    return Draft(
        request_type=order.request_type, parameters=parameters, command=command, payload=None,
        uuid=order.uuid, is_secret=order.secret or order.request_type in _SECRET_COMMANDS,
    )  # fmt: skip


def target_of(db: Connection, name: str) -> Device:
    """Return the channel of this name.

    Raises:
        NotFound: there is none.
        Conflict: it takes no commands.
    """
    device = devices.get(db, devices.named(db, name))
    if device is None:
        raise NotFound("device", name)
    if device.state not in ("enrolled", "authenticated"):
        raise Conflict(
            f"{device.id} is not enrolled: {device.state}",
            code="device.not_enrolled",
            fix="it takes commands again once it has enrolled anew",
        )
    return device


def check_device(
    db: Connection, draft: Draft, target: Device, parameters: dict[str, Any]
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


def is_dangerous(request_type: str, command: Mapping[str, Any]) -> bool:
    """Tell whether a command locks, erases or lets go of its device.

    Args:
        command: as the device reads it.
    """
    if request_type == "RemoveProfile":
        identifier = command.get("Identifier")
        return isinstance(identifier, str) and is_of_enrollment(identifier)
    if request_type == "InstallProfile":
        return _may_be(command.get("Payload"))
    spec = catalogue().get(request_type)
    return spec is not None and spec.dangerous


def lets_go(db: Connection, request_type: str, target: Device) -> bool:
    """Tell whether a command may remove the management profile that another server has made.

    What it is called is not known here, so every RemoveProfile of such a device may.
    """
    return (
        request_type == "RemoveProfile"
        and target.channel != "user"
        and certificates.is_of_another(db, target.id)
    )


def _may_be(profile: object) -> bool:
    """Tell whether a profile touches the management of its device, as far as can be known."""
    if not isinstance(profile, bytes):
        return True
    try:
        return manages(profile)
    except MalformedMessage:  # a device may read what we cannot
        return True


def check_danger(order: CommandOrder, draft: Draft, targets: list[Device]) -> None:
    """Refuse a dangerous command that lacks its safeguards.

    Raises:
        ScopeMissing, ConfirmationRequired: it does.
    """
    if not order.may_danger:
        raise _scope_missing(draft.request_type)
    if len(targets) != 1 or not order.is_alone:
        raise ConfirmationRequired(
            f"{draft.request_type} is sent to one device at a time", pointer="/targets"
        )
    if not order.confirmation:
        return
    if (order.confirm or {}).get("serial_number") != _proof(targets[0]):
        raise _unconfirmed(draft.request_type)


def confirmed_target(
    db: Connection,
    records: Sequence[CommandRecord],
    serial_number: str | None,
    *,
    may_danger: bool,
) -> str:
    """Return the channel of a command whose device `serial_number` names.

    Raises:
        ScopeMissing, ConfirmationRequired: a safeguard is missing.
    """
    if not may_danger:
        raise _scope_missing(records[0].request_type)
    for record in records:
        device = devices.get(db, record.target)
        if device is not None and serial_number == _proof(device):
            return record.target
    raise _unconfirmed(records[0].request_type)


def _proof(device: Device) -> str:
    return device.serial_number or device.id


def _scope_missing(request_type: str) -> ScopeMissing:
    return ScopeMissing(
        f"{request_type} needs the scope danger",
        fix="use a token made with `appliance token create NAME --scope write --scope danger`",
    )


def _unconfirmed(request_type: str) -> ConfirmationRequired:
    return ConfirmationRequired(
        f"{request_type} must be confirmed",
        pointer="/confirm/serial_number",
        why=_REASONS.get(request_type, "it cannot be undone"),
        fix="repeat it with confirm.serial_number, on the command line --confirm, set to the "
        "device's serial number, or to its ID where it has none",
    )
