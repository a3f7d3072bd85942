"""Sessions of people who signed in: begun by signing in, ended by time, by their user, or anew."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass

from appliance.config import AuthConfig
from appliance.config.checks import duration_ms
from appliance.errors import Busy
from appliance.services.clock import MINUTE, now_ms
from appliance.services.throttle import Address
from appliance.services.tokens import SCOPES, Caller
from appliance.store import events, one_time_codes, sessions, users
from appliance.store.database import Connection, Database

_TOUCH_EVERY_MS = MINUTE  # a page with many parts is not many writes
_EVERY_SCOPE = frozenset(SCOPES)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Session:
    """Somebody who signed in; `token` is the cookie's value."""

    user: str
    token: str

    @property
    def caller(self) -> Caller:
        """What the user may do: everything."""
        return Caller(name=self.user, scopes=_EVERY_SCOPE)

    @property
    def csrf_token(self) -> str:
        """What a form or script of our own pages knows, and a page of another site does not."""
        return hmac.digest(self.token.encode(), b"csrf", "sha256").hex()


class SessionService:
    """Finds sessions, and ends them."""

    def __init__(self, database: Database, config: AuthConfig) -> None:
        self._database = database
        self._idle_ms = duration_ms(config.session_idle)
        self._max_ms = duration_ms(config.session_max)

    async def find(self, token: str, *, attended: bool = True) -> Session | None:
        """Return the session of a cookie's value, None if it is not or no longer in force.

        Args:
            attended: a person is behind it, so the session is in use and goes on.
        """
        digest, now = secret_sha256(token), now_ms()
        found = await self._database.read(
            lambda db: sessions.find(
                db, digest, created_after=now - self._max_ms, seen_after=now - self._idle_ms
            )
        )
        if found is None:
            return None
        if attended and now - found.seen_at > _TOUCH_EVERY_MS:
            with suppress(Busy):  # a full disk does not hide the page that says so
                await self._database.write(lambda db: sessions.touch(db, digest, now))
        return Session(user=found.user, token=token)

    async def count(self, session: Session) -> int:
        """Return how many sessions the session's user has, this one among them."""
        now = now_ms()
        return await self._database.read(
            lambda db: sessions.count_like(
                db,
                secret_sha256(session.token),
                created_after=now - self._max_ms,
                seen_after=now - self._idle_ms,
            )
        )

    async def end(self, token: str) -> None:
        """End one session."""
        now = now_ms()

        def unit(db: Connection) -> None:
            user = sessions.remove(db, secret_sha256(token))
            if user is not None:
                events.add(db, "user.session_ended", now, data={"name": user})

        await self._database.write(unit)

    async def end_all(self, session: Session) -> None:
        """End every session of the session's user, this one too, and void the user's codes."""
        now = now_ms()

        def unit(db: Connection) -> None:
            user_id = sessions.user_of(db, secret_sha256(session.token))
            if user_id is None:  # another browser was quicker
                return
            sessions.remove_of(db, user_id)
            one_time_codes.remove_of(db, user_id)
            events.add(db, "user.signed_out", now, data={"name": session.user})

        await self._database.write(unit)

    def forget_expired(self, db: Connection, now: int) -> None:
        """Remove sessions and codes that are no longer in force; a part of housekeeping's unit."""
        sessions.prune(db, created_before=now - self._max_ms, seen_before=now - self._idle_ms)
        one_time_codes.prune(db, now)


def new_session(user: str) -> Session:
    """Return a session that is not stored yet."""
    return Session(user=user, token=secrets.token_urlsafe(32))


def begin(
    db: Connection, session: Session, user_id: int, address: Address | None, now: int
) -> None:
    """Store a new session, and that its user signed in."""
    sessions.add(db, secret_sha256(session.token), user_id, now)
    users.signed_in(db, user_id, now)
    data = {"name": session.user, "address": str(address)}
    events.add(db, "user.signed_in", now, data=data)


def secret_sha256(secret: str) -> bytes:
    """Return what is stored of a cookie's value, or of a code."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
