"""Secrets of commands: shown to whoever says why, on the record, and only a few in an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from appliance.errors import Conflict, InvalidRequest, NotFound, TooMany
from appliance.mdm.command import holds_secret
from appliance.services.clock import HOUR, now_ms, wait_seconds
from appliance.services.device_page import DevicePages, SentCommand
from appliance.services.payloads import Payloads
from appliance.services.vault import Vault
from appliance.store import events
from appliance.store.database import Connection, Database
from appliance.store.payloads import Payload

MOST_IN_AN_HOUR = 10

_LONGEST_REASON = 500


class SecretService:
    """Opens what is sealed, for people."""

    def __init__(self, database: Database, vault: Vault, pages: DevicePages) -> None:
        self._database = database
        self._vault = vault
        self._payloads = Payloads(vault)
        self._pages = pages

    async def reveal(self, uuid: str, *, target: str | None, reason: str, by: str) -> SentCommand:
        """Return a command with its secrets, once it is recorded that `by` sees them, and why.

        Args:
            target: the channel, where the command was queued for several.

        Raises:
            NotFound: there never was such a command, or not for this channel.
            InvalidRequest: no reason, or it is not said which channel.
            Conflict: it holds no secret, or none any more.
            TooMany: `by` has seen as many as an hour allows; the record counts, so a restart
                changes nothing.
        """
        reason = _checked(reason)
        sealed = _one_of(await self._pages.command(uuid), uuid, target)
        if not _has_secret(sealed):
            raise Conflict(
                f"command {uuid} holds no secret",
                code="secret.none",
                why="neither it nor its answer does; a command that held one is emptied when over",
            )
        now = now_ms()
        data = {
            "id": uuid, "request_type": sealed.record.request_type, "by": by, "reason": reason,
        }  # fmt: skip

        def unit(db: Connection) -> None:
            _refuse_more(events.secrets_shown(db, by, since=now - HOUR), now)
            events.add(db, "secret.shown", now, enrollment_id=sealed.device.id, data=data)

        await self._database.write(unit)
        return self._unsealed(sealed)

    def _unsealed(self, one: SentCommand) -> SentCommand:
        record = one.record
        if record.answer_sealed:
            answer = self._vault.open(
                "answer", f"{record.id}:{record.target}", record.answer or b""
            )
            record = replace(record, answer=answer, answer_sealed=False)
        body = self._payloads.open(record.id, record.target, one.payload)
        return replace(one, record=record, payload=Payload(body=body, sealed=not body))


def _checked(reason: str) -> str:
    reason = " ".join(reason.split())
    if not reason:
        raise InvalidRequest(
            "a reason is required",
            code="secret.reason_required",
            pointer="/reason",
            why="that secrets were shown is recorded, with who saw them and why",
            fix="say why in `reason` (--reason on the command line)",
        )
    if len(reason) > _LONGEST_REASON:
        raise InvalidRequest(
            f"a reason has at most {_LONGEST_REASON} characters", pointer="/reason"
        )
    return reason


def _one_of(found: Sequence[SentCommand], uuid: str, target: str | None) -> SentCommand:
    if target is None:
        if len(found) > 1:
            raise InvalidRequest(
                f"command {uuid} was queued for {len(found)} devices",
                pointer="/target",
                why="secrets are shown of one device at a time",
                fix="name one of them in `target` (--device on the command line)",
            )
        return found[0]
    for one in found:
        if target in (one.device.id, one.device.serial_number):
            return one
    raise NotFound("command", f"{uuid} of {target}")


def _has_secret(one: SentCommand) -> bool:
    record = one.record
    waits = one.payload.sealed and bool(one.payload.body)
    return waits or record.answer_sealed or holds_secret(record.answer or b"")


def _refuse_more(times: Sequence[int], now: int) -> None:
    """Raise TooMany where the newest of `times`, oldest first, leave no room."""
    wait = wait_seconds(times, MOST_IN_AN_HOUR, now)
    if not wait:
        return
    raise TooMany(
        f"{MOST_IN_AN_HOUR} secrets were shown to you within an hour",
        wait,
        why="that no stolen session or token can read the secrets of a whole fleet",
        fix="come back later; what is needed at once, another administrator can look up",
    )
