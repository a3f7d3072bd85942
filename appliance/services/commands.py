"""Commands: checked before they are queued, handed out one at a time, answered once."""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from appliance import logs
from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.mdm.catalogue import build_command
from appliance.mdm.command import CommandResult, Status, addressed, encode_command, holds_secret
from appliance.services.clock import now_ms
from appliance.services.command_orders import (
    CommandOrder,
    Draft,
    Moments,
    Queued,
    announce,
    audit,
    check_danger,
    check_device,
    confirmed_target,
    draft_of,
    is_dangerous,
    lets_go,
    moments_of,
    refuse_more_dangers,
    target_of,
)
from appliance.services.identity import check_dates
from appliance.services.live import LiveEvents
from appliance.services.paging import entries_before
from appliance.services.payloads import Payloads, Written
from appliance.services.repeats import Repeats
from appliance.services.results import apply_result
from appliance.services.vault import Vault
from appliance.services.webhooks import WebhookService
from appliance.store import (
    command_records,
    commands,
    devices,
    enrollments,
    escrow,
    events,
    pushes,
    restored,
)
from appliance.store.command_records import CommandRecord
from appliance.store.commands import HandedOut, NewCommand
from appliance.store.database import Connection, Database, from_ms
from appliance.store.devices import Device
from appliance.store.restored import RestoredCommand
from appliance.wire.cms import Signer

logger = logging.getLogger(__name__)

_MOST_TARGETS = 10_000
_LONGEST_WAIT_SECONDS = 3600

_SECRET_ANSWERS = frozenset({
    "ActivationLockBypassCode", "RequestUnlockToken", "RotateFileVaultKey",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """An order, read and written before any device waits for it."""

    draft: Draft
    dangerous: bool
    written: Written | None  # None: each target gets a command of its own


class CommandService:
    """Queues commands for people and programs, and answers devices."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        repeats: Repeats,
        wake: Callable[[], None],
        live: LiveEvents,
        webhooks: WebhookService,
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._live = live
        self._vault = vault
        self._payloads = Payloads(vault)
        self._repeats = repeats
        self._wake = wake

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
            if request_type not in _SECRET_ANSWERS and not holds_secret(body):
                return body, False
            return self._vault.seal("answer", f"{command_uuid}:{enrollment.id}", body), True

        def unit(db: Connection) -> HandedOut | None:
            enrollments.hear(db, enrollment, signer.sha256, now)
            if not idle:
                finished = commands.report(db, result, answer, now, protect=protect)
                if finished is not None:
                    apply_result(db, result, finished, now)
            if self._webhooks.enabled:
                self._webhooks.tell(db, result, answer, now)
            return commands.next_command(db, enrollment.id, idle=idle, now=now)

        following = await self._database.write(unit)
        if following is None:
            return None
        self._live.command("connected", enrollment.id, following.uuid, following.request_type)
        return self._payloads.open(following.uuid, enrollment.id, following.payload)

    async def enqueue(
        self, order: CommandOrder, *, also: Callable[[Connection], None] | None = None
    ) -> list[Queued]:
        """Queue one command for each target: all of them, or none.

        Args:
            also: is done in the same transaction.

        Raises:
            NotFound: an unknown target, by name.
            InvalidRequest: the command is not of the catalogue's form, or a device is known
                not to support it.
            ConfirmationRequired, ScopeMissing: a dangerous command without its safeguards.
            Conflict: the device has left, or had a command of this UUID.
            InvalidRequest: the order's key was used for another order.
        """
        if not order.targets or len(order.targets) > _MOST_TARGETS:
            raise InvalidRequest(f"name 1 to {_MOST_TARGETS} targets", pointer="/targets")
        now = now_ms()
        prepared = await asyncio.to_thread(self._prepare, order)

        def queue(db: Connection) -> list[Queued]:
            # Within what is done once: a repeat may come when the command has expired.
            moments = moments_of(order, now)
            if also is not None:
                also(db)
            return self._queue(db, order, prepared, moments, now)

        def unit(db: Connection) -> list[Queued]:
            return self._repeats.once(db, order.request, lambda: queue(db), list[Queued])

        queued = await self._database.write(unit)
        if order.push:
            self._wake()
        logger.info(
            "commands queued",
            extra={logs.REQUEST_TYPE: prepared.draft.request_type, logs.COUNT: len(queued)},
        )
        return queued

    async def get(self, command_uuid: str) -> list[CommandRecord]:
        """Return the command, once for each channel it was queued for.

        Raises:
            NotFound: there never was such a command.
        """
        now = now_ms()
        found = await self._database.read(lambda db: command_records.find(db, command_uuid, now))
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
            return command_records.history(db, channel, before=before, limit=limit + 1, now=now)

        found = await self._database.read(unit)
        is_full = command_records.answer_bytes(found) >= command_records.MOST_ANSWER_BYTES
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
            if not command_records.find(db, command_uuid, now):
                raise NotFound("command", command_uuid)
            if not commands.cancel(db, command_uuid, now):
                raise Conflict(
                    f"command {command_uuid} can no longer be cancelled",
                    code="command.not_cancellable",
                    why="it was delivered or is finished",
                )
            events.add(db, "command.cancelled", now, data={"id": command_uuid})
            return command_records.find(db, command_uuid, now)

        return self._unsealed(await self._database.write(unit))

    async def release(
        self, command_uuid: str, serial_number: str | None, *, may_danger: bool, by: str
    ) -> list[CommandRecord]:
        """Let go of a command that a restore has held, for the device of this serial number.

        Raises:
            NotFound: there never was such a command.
            ScopeMissing, ConfirmationRequired: a safeguard is missing.
            Conflict: it is not held.
        """
        now = now_ms()

        def unit(db: Connection) -> list[CommandRecord]:
            found = command_records.find(db, command_uuid, now)
            if not found:
                raise NotFound("command", command_uuid)
            target = confirmed_target(db, found, serial_number, may_danger=may_danger)
            if not restored.release(db, command_uuid, target, now, by=by):
                raise Conflict(
                    f"command {command_uuid} is not held",
                    code="command.not_held",
                    why="only what waited in a backup is held when that is restored",
                )
            pushes.request(db, target, now)
            return command_records.find(db, command_uuid, now)

        records = self._unsealed(await self._database.write(unit))
        self._wake()
        return records

    async def restored(self) -> list[RestoredCommand]:
        """Return what was unfinished in the backup that was restored, and still is."""
        now = now_ms()
        return await self._database.read(lambda db: restored.unfinished(db, now))

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

    def _prepare(self, order: CommandOrder) -> _Prepared:
        """Read an order and write what it says; a long profile takes a while."""
        draft = draft_of(order)
        has_own = draft.payload is None and draft.request_type == "ClearPasscode"
        return _Prepared(
            draft=draft,
            dangerous=is_dangerous(draft.request_type, draft.command),
            written=None if has_own else self._payloads.write(draft, targets=len(order.targets)),
        )

    def _queue(
        self, db: Connection, order: CommandOrder, prepared: _Prepared, moments: Moments, now: int
    ) -> list[Queued]:
        draft, dangerous = prepared.draft, prepared.dangerous
        found = [target_of(db, name) for name in order.targets]
        targets = list({target.id: target for target in found}.values())
        dangerous = dangerous or any(lets_go(db, draft.request_type, one) for one in targets)
        if dangerous:
            check_danger(order, draft, targets)
            refuse_more_dangers(db, order, now)
        made = [self._make(db, prepared, one, moments) for one in targets]
        rows = [row for row, _ in made]
        shared = None if prepared.written is None else prepared.written.shared
        commands.enqueue(db, rows, now, shared=shared)
        if order.reason or (dangerous and order.by):
            audit(db, order, rows, now, dangerous=dangerous)
        if order.push:
            announce(db, rows, now)
        return [
            Queued(
                id=row.uuid, target=row.enrollment_id, not_before=from_ms(row.not_before),
                warnings=warnings,
            )
            for row, warnings in made
        ]  # fmt: skip

    def _unsealed(self, records: list[CommandRecord]) -> list[CommandRecord]:
        return [
            self._unsealed_one(record) if record.answer_sealed else record for record in records
        ]

    def _unsealed_one(self, record: CommandRecord) -> CommandRecord:
        answer = self._vault.open("answer", f"{record.id}:{record.target}", record.answer or b"")
        return replace(record, answer=answer, answer_sealed=False)

    def _make(
        self, db: Connection, prepared: _Prepared, target: Device, moments: Moments
    ) -> tuple[NewCommand, list[str]]:
        """Return the command for one target, and what may not work on it."""
        draft, written = prepared.draft, prepared.written
        command_uuid = draft.uuid or str(uuid.uuid4())
        if draft.uuid is not None and commands.exists(db, command_uuid, target.id):
            raise Conflict(
                f"{target.id} has had a command {command_uuid}", code="command.duplicate"
            )
        parameters = dict(draft.parameters)
        if written is None:
            self._add_unlock_token(db, target, parameters)
            command = build_command(draft.request_type, parameters)
            payload = encode_command(command_uuid, command)
        else:
            payload = b"" if written.shared else addressed(written.body, command_uuid)
        warnings = check_device(db, draft, target, parameters)
        if payload and draft.is_secret:
            payload = self._payloads.seal(command_uuid, target.id, payload)
        row = NewCommand(
            uuid=command_uuid,
            enrollment_id=target.id,
            request_type=draft.request_type,
            payload=payload,
            sealed=draft.is_secret,
            expires_at=moments.expires_at,
            not_before=moments.not_before,
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
