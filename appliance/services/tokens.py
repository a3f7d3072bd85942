"""API tokens: made once, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from appliance.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound
from appliance.services.clock import given_ms, now_ms
from appliance.store import events, tokens
from appliance.store.database import Connection, Database
from appliance.store.tokens import ApiToken

SCOPES = ("read", "write", "danger", "secrets", "admin")
_IMPLIED = {"admin": {"read", "write"}, "write": {"read"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls the API, and what that caller may do."""

    name: str
    scopes: frozenset[str]


class TokenService:
    """Creates, checks and revokes tokens `apl_<id>_<secret>`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, name: str, scopes: list[str], expires_at: datetime | None = None
    ) -> tuple[ApiToken, str]:
        """Return the new token and, for the only time, its text.

        Raises:
            InvalidRequest: an unknown scope, an unusable name, or a time that is over.
            Conflict: a token of this name is in force.
        """
        _check(name, scopes)
        scopes = list(dict.fromkeys(scopes))
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        now = now_ms()
        expires = None if expires_at is None else given_ms(expires_at, "/expires_at")
        if expires is not None and expires <= now:
            raise InvalidRequest("expires_at lies in the past", pointer="/expires_at")

        def unit(db: Connection) -> ApiToken:
            if tokens.exists(db, name):
                raise Conflict(
                    f"a token named {name!r} exists",
                    code="token.exists",
                    fix=f"choose another name, or run `appliance token revoke {name}` first",
                )
            tokens.add(
                db, token_id, name=name, secret_sha256=_digest(secret), scopes=scopes,
                now=now, expires_at=expires,
            )  # fmt: skip
            events.add(db, "token.created", now, data={"name": name, "scopes": scopes})
            return next(token for token in tokens.all_tokens(db) if token.id == token_id)

        return await self._database.write(unit), f"apl_{token_id}_{secret}"

    async def listing(self) -> list[ApiToken]:
        """Return every token, without its secret."""
        return await self._database.read(tokens.all_tokens)

    async def revoke(self, name: str) -> None:
        """Make the token useless from now on.

        Raises:
            NotFound: no token of this name is in force.
        """
        now = now_ms()

        def unit(db: Connection) -> None:
            if not tokens.revoke(db, name, now):
                raise NotFound("token", name)
            events.add(db, "token.revoked", now, data={"name": name})

        await self._database.write(unit)

    async def authenticate(self, token: str) -> Caller:
        """Return whose token it is.

        Raises:
            NotAuthenticated: unknown, revoked or expired; the text does not say which.
        """
        prefix, _, rest = token.partition("_")
        token_id, _, secret = rest.partition("_")
        refusal = NotAuthenticated("the token is not valid", fix="run `appliance token create`")
        if not token.isascii() or prefix != "apl" or not secret:
            raise refusal
        stored = await self._database.read(lambda db: tokens.find(db, token_id))
        expected = stored.secret_sha256 if stored is not None else b"\0" * 32
        matches = hmac.compare_digest(_digest(secret), expected)
        if stored is None or not matches or stored.revoked_at is not None:
            raise refusal
        if stored.expires_at is not None and stored.expires_at <= now_ms():
            raise refusal
        granted = set(stored.scopes)
        for scope in stored.scopes:
            granted |= _IMPLIED.get(scope, set())
        return Caller(name=stored.name, scopes=frozenset(granted))


def _check(name: str, scopes: list[str]) -> None:
    if not name or len(name) > 100 or not name.isprintable():
        raise InvalidRequest("a token needs a name of 1 to 100 characters", pointer="/name")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidRequest(
            f"unknown scope {unknown[0]!r}" if unknown else "a token needs at least one scope",
            pointer="/scopes",
            fix=f"scopes are {', '.join(SCOPES)}",
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
