"""Forms that are pressed twice and mean it once."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec
from aiohttp import web

from appliance.services.repeats import Request
from appliance.web.authentication import CALLER

ONCE_FIELD = "once"


def new_once() -> str:
    """Return what tells this copy of a form from all others, for its field `once`."""
    return secrets.token_urlsafe(16)


def form_request(request: web.Request, once: str, fields: Any) -> Request | None:
    """Return what a form stands for: the same again is done once, changed it is another.

    Args:
        fields: all that was filled in.
    """
    if not once:
        return None
    content = msgspec.json.encode([request.path, fields], order="sorted")
    # Nobody can try out PINs against this: the form's own token is stored nowhere.
    digest = hashlib.sha256(once.encode() + content).hexdigest()
    return Request(caller=request[CALLER].name, key=f"form {digest}", content=content)
