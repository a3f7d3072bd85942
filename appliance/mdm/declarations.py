"""Declarative management (Apple): what a server without declarations says of them.

Once it is active on a device it cannot be switched off, so what the device asks then is answered.
"""

from __future__ import annotations

import json

from appliance.errors import NotFound

_TOKEN = "no-declarations"  # noqa: S105 - says which set of declarations this is
_SINCE = "2026-01-01T00:00:00Z"  # it has not changed since
_EMPTY: dict[str, object] = {
    "tokens": {"SyncTokens": {"DeclarationsToken": _TOKEN, "Timestamp": _SINCE}},
    "declaration-items": {
        "Declarations": {"Activations": [], "Assets": [], "Configurations": [], "Management": []},
        "DeclarationsToken": _TOKEN,
    },
}


def answer_without_declarations(endpoint: str) -> bytes:
    """Return the body of the reply, JSON; empty for a status report.

    Raises:
        NotFound: a declaration, of which there is none, or an endpoint that Apple does not have.
    """
    if endpoint == "status":
        return b""
    if endpoint not in _EMPTY:
        raise NotFound("declaration", endpoint)
    return json.dumps(_EMPTY[endpoint]).encode()
