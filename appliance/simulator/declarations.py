"""Declarative management of one channel: fetch what changed, then report what is in force."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.simulator.failures import MessageRefused, ServerRefused
from appliance.simulator.transport import Reply

_GONE = 404
_MOST_DECLARATIONS = 1000
# The manifest's lists, and the name of one of their entries in an endpoint.
_KINDS = {
    "Activations": "activation",
    "Assets": "asset",
    "Configurations": "configuration",
    "Management": "management",
}

Ask = Callable[[Mapping[str, Any]], Awaitable[Reply]]


@dataclass(slots=True, kw_only=True)
class Declarations:
    """What a channel holds: the server's token, and each declaration by kind and identifier."""

    token: str = ""
    held: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    async def synchronize(self, ask: Ask, tokens: bytes = b"") -> None:
        """Do what a device does after the command DeclarativeManagement.

        Args:
            ask: sends one DeclarativeManagement check-in with these keys.
            tokens: what came with the command; without it the server is asked.

        Raises MessageRefused for an answer that a device cannot read, ServerRefused for a status
        other than 200. A server that answers 404 has no declarations for anybody.
        """
        body = tokens or await _fetch(ask, "tokens")
        if body is None:
            return
        with _Reading("tokens"):
            token = str(_dictionary(body)["SyncTokens"]["DeclarationsToken"])
        if token == self.token:
            return
        manifest = await _fetch(ask, "declaration-items")
        if manifest is None:
            return
        await self._take(ask, manifest)
        report = json.dumps(self._status()).encode()
        reply = await ask({"Endpoint": "status", "Data": report})
        if reply.status not in (200, _GONE):
            raise ServerRefused("DeclarativeManagement status", reply.status, reply.body)

    async def _take(self, ask: Ask, manifest: bytes) -> None:
        with _Reading("declaration-items"):
            listed = _dictionary(manifest)
            wanted = {
                (kind, str(entry["Identifier"])): str(entry["ServerToken"])
                for name, kind in _KINDS.items()
                for entry in listed["Declarations"][name]
            }
            token = str(listed["DeclarationsToken"])
        if len(wanted) > _MOST_DECLARATIONS:
            raise MessageRefused(f"{len(wanted)} declarations are more than a device takes")
        kept: dict[tuple[str, str], dict[str, Any]] = {}
        for key, server_token in wanted.items():
            known = self.held.get(key)
            if known is not None and known["ServerToken"] == server_token:
                kept[key] = known
                continue
            body = await _fetch(ask, f"declaration/{key[0]}/{key[1]}")
            if body is not None:  # else it went away meanwhile
                with _Reading(f"declaration {key[1]}"):
                    found = _dictionary(body)
                    kept[key] = {name: found[name] for name in _NEEDED}
        self.held, self.token = kept, token

    def _status(self) -> dict[str, Any]:
        """Report all of it; an inactive one is a configuration that no activation names."""
        activated = {
            str(name)
            for (kind, _), one in self.held.items()
            if kind == "activation"
            for name in _texts(one["Payload"], "StandardConfigurations")
        }
        items: dict[str, list[dict[str, Any]]] = {
            "activations": [], "assets": [], "configurations": [], "management": [],
        }  # fmt: skip
        for (kind, identifier), one in self.held.items():
            is_active = kind != "configuration" or identifier in activated
            entry: dict[str, Any] = {
                "identifier": identifier,
                "server-token": one["ServerToken"],
                "active": is_active,
                "valid": "valid" if is_active else "unknown",
            }
            if not is_active:
                entry["reasons"] = [_NOT_REFERENCED]
            items[kind if kind == "management" else f"{kind}s"].append(entry)
        return {
            "StatusItems": {"management": {"declarations": items}},
            "Errors": [],
            "FullReport": True,
        }


_NEEDED = ("Type", "Identifier", "ServerToken", "Payload")
_NOT_REFERENCED = {
    "code": "Info.NotReferencedByActivation",
    "description": "The configuration is not referenced by an activation.",
}


async def _fetch(ask: Ask, endpoint: str) -> bytes | None:
    reply = await ask({"Endpoint": endpoint})
    if reply.status == _GONE:
        return None
    if reply.status != 200:
        raise ServerRefused(f"DeclarativeManagement {endpoint}", reply.status, reply.body)
    return reply.body


def _dictionary(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _texts(payload: Any, key: str) -> list[Any]:
    value = payload.get(key) if isinstance(payload, dict) else None
    return value if isinstance(value, list) else []


class _Reading:
    """Turns whatever is wrong with an answer into MessageRefused."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None and issubclass(kind, ValueError | KeyError | TypeError):
            raise MessageRefused(f"DeclarativeManagement, {self._what}: {error!r}") from None
