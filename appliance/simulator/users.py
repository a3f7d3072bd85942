"""The user channel of a Mac: who gets one, and how a network user proves to be that user."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from appliance.simulator import plist
from appliance.simulator.failures import MessageRefused, ServerRefused
from appliance.simulator.transport import Reply

GONE = 410

CheckIn = Callable[..., Awaitable[Reply]]


async def authenticate_user(check_in: CheckIn, short_name: str, password: str) -> str | None:
    """UserAuthenticate in one or two rounds: the AuthToken, "" for none, None if not managed."""
    reply = await check_in("UserAuthenticate")
    if reply.status == GONE:
        return None
    challenge = _answer(reply).get("DigestChallenge", "")
    if not challenge:
        return ""
    response = digest_response(challenge, short_name, password)
    reply = await check_in("UserAuthenticate", DigestResponse=response)
    if reply.status == GONE:
        return None
    return str(_answer(reply).get("AuthToken", "")) or None


def digest_response(challenge: str, short_name: str, password: str) -> str:
    """The answer to an HTTP digest challenge without qop (RFC 2069), as a Mac gives it."""
    parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm, nonce = parts.get("realm", ""), parts.get("nonce", "")
    secret = _md5(f"{short_name}:{realm}:{password}")
    response = _md5(f"{secret}:{nonce}:{_md5('PUT:/')}")
    return (
        f'Digest username="{short_name}",realm="{realm}",nonce="{nonce}",'
        f'uri="/",response="{response}"'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _answer(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise ServerRefused("UserAuthenticate", reply.status, reply.body)
    try:
        answer = plist.loads(reply.body) if reply.body else {}
    except ValueError as error:
        raise MessageRefused("the answer to UserAuthenticate is no plist") from error
    return answer if isinstance(answer, dict) else {}
