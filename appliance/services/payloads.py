"""What commands say: written once for all targets of an order, sealed where it holds secrets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from appliance.mdm.command import addressed, encode_command
from appliance.services.command_orders import Draft
from appliance.services.vault import Vault
from appliance.store.payloads import Payload, SharedPayload

_SHARED_FROM = 64 << 10  # bytes: sealing more would hold up the writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an order says to all its targets: `shared` if it is stored once for all of them."""

    body: bytes = field(repr=False)
    shared: SharedPayload | None


class Payloads:
    """Writes commands, seals those that hold secrets, and opens them again."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def write(self, draft: Draft, *, targets: int) -> Written:
        """Write what is the same for all targets; takes a while where it is long."""
        body = draft.payload or encode_command("", draft.command)
        if targets == 1 and len(body) < _SHARED_FROM:
            return Written(body=body, shared=None)
        name = str(uuid.uuid4())
        stored = self._vault.seal("shared_command", name, body) if draft.is_secret else body
        return Written(body=body, shared=SharedPayload(name=name, body=stored))

    def seal(self, command_uuid: str, enrollment_id: str, body: bytes) -> bytes:
        """Seal what one channel alone is sent."""
        return self._vault.seal("command", f"{command_uuid}:{enrollment_id}", body)

    def open(self, command_uuid: str, enrollment_id: str, payload: Payload) -> bytes:
        """Return the property list as it is handed out; empty once a sealed one is over.

        Raises:
            BadSignature: another key, another command, or changed bytes.
        """
        body = payload.body
        if payload.sealed and body:
            if payload.shared is None:
                body = self._vault.open("command", f"{command_uuid}:{enrollment_id}", body)
            else:
                body = self._vault.open("shared_command", payload.shared, body)
        return addressed(body, command_uuid)
