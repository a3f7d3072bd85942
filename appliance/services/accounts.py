"""People who may see the page: the first one, signing in, sessions, passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from appliance.config import AuthConfig, duration_ms
from appliance.errors import Conflict, InvalidRequest, NotFound, SignInRefused
from appliance.services.clock import MINUTE, now_ms
from appliance.services.codes import new_code, normalise
from appliance.services.passwords import Passwords, check_password, folded
from appliance.services.throttle import Address, SignInThrottle
from appliance.services.tokens import SCOPES, Caller
from appliance.store import events, one_time_codes, sessions, users
from appliance.store.database import Connection, Database
from appliance.store.users import StoredUser, User

SIGN_IN_CODE_MS = 5 * MINUTE

_CODE_LENGTH = 24  # 115 bits
_LONGEST_NAME = 64
_TOUCH_EVERY_MS = MINUTE  # a page with many parts is not many writes
_FAILURES_NOTED_EVERY_MS = MINUTE
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OneTimeCode:
    """A code that lets somebody in once; `user` is None when it makes the first user.

    `url` has it after a #, where no server and no log sees it.
    """

    code: str
    url: str
    user: str | None
    expires_at: int


class AccountService:
    """Users and their sessions; every user may do everything."""

    def __init__(self, database: Database, config: AuthConfig, url: str) -> None:
        """Keep the address of the page, `url`, for the addresses of codes."""
        self._database = database
        self._url = url
        self._config = config
        self._passwords = Passwords(memory_mib=config.argon2_memory_mib)
        self._throttle = SignInThrottle(
            attempts=config.login_attempts, block_ms=duration_ms(config.login_block)
        )
        self._idle_ms = duration_ms(config.session_idle)
        self._max_ms = duration_ms(config.session_max)
        self._failure_noted: dict[str, int] = {}

    def close(self) -> None:
        """End the threads."""
        self._passwords.close()

    # The first user

    async def any_exists(self) -> bool:
        """Tell whether there is a user; if not, a setup code makes the first one."""
        return await self._database.read(users.any_exists)

    async def new_setup_code(self) -> OneTimeCode:
        """Return a code that makes the first user; those made before stay good.

        Raises:
            Conflict: there is a user already.
        """
        code, expires_at = (
            new_code(_CODE_LENGTH),
            now_ms() + duration_ms(self._config.setup_code_ttl),
        )

        def unit(db: Connection) -> None:
            _refuse_if_set_up(db)
            one_time_codes.add(db, _digest(code), user_id=None, expires_at=expires_at)

        await self._database.write(unit)
        url = f"{self._url}/setup#{code}"
        return OneTimeCode(code=code, url=url, user=None, expires_at=expires_at)

    async def set_up(self, code: str, name: str, password: str, address: Address | None) -> Session:
        """Make the first user, sign that user in, and void every setup code.

        Raises:
            Conflict: there is a user already.
            SignInRefused: the code is wrong, used or expired.
            InvalidRequest: the name or the password is not acceptable.
            TooMany: from this address came too many wrong codes.
        """
        digest, now = _digest(normalise(code)), now_ms()
        self._throttle.begin(address, "", now)

        def check(db: Connection) -> None:
            _refuse_if_set_up(db)
            if not one_time_codes.is_setup(db, digest, now):
                raise SignInRefused("the setup code is not valid")

        await self._database.read(check)
        self._throttle.succeeded(address, "")
        name = self._accepted(name, password)
        phc = await self._passwords.hash(password)
        session = _new_session(name)

        def unit(db: Connection) -> None:
            check(db)
            one_time_codes.void_setup(db)
            user_id = _create(db, name, phc, now)
            _begin(db, session, user_id, address, now)

        await self._database.write(unit)
        return session

    # Signing in

    async def sign_in(self, name: str, password: str, address: Address | None) -> Session:
        """Return a new session.

        Raises:
            SignInRefused: the name or the password is wrong; which one takes as long, and is
                not said.
            TooMany: this address, or strangers to this name, must wait.
            Busy: too many people sign in at this moment.
        """
        key, now = folded(name)[:_LONGEST_NAME], now_ms()
        self._throttle.begin(address, key, now)
        user = await self._database.read(lambda db: users.find(db, key))
        if not await self._passwords.matches(password, user.password if user else None):
            await self._note_failure(user, address, now)
            raise SignInRefused("the name or the password is wrong")
        assert user is not None  # noqa: S101 - nobody's password matches
        self._throttle.succeeded(address, key)
        rehashed = None
        if self._passwords.is_outdated(user.password):
            rehashed = await self._passwords.hash(password)
        session = _new_session(user.name)

        def unit(db: Connection) -> None:
            # The password may have changed, or the user gone, while it was being compared.
            if users.find(db, key) != user:
                raise SignInRefused("the name or the password is wrong")
            if rehashed is not None:
                users.rehash(db, user.id, rehashed)
            _begin(db, session, user.id, address, now)

        await self._database.write(unit)
        return session

    async def sign_in_with_code(self, code: str, address: Address | None) -> Session:
        """Use up a one-time code and return a new session.

        Raises:
            SignInRefused: the code is wrong, used or expired.
            TooMany: this address must wait.
        """
        digest, token, now = _digest(normalise(code)), _new_token(), now_ms()
        self._throttle.begin(address, "", now)

        def unit(db: Connection) -> Session | None:
            found = one_time_codes.take(db, digest, now)
            if found is None:
                return None
            user_id, name = found
            session = Session(user=name, token=token)
            _begin(db, session, user_id, address, now)
            return session

        session = await self._database.write(unit)
        if session is None:
            await self._note_failure(None, address, now)
            raise SignInRefused("the code is not valid")
        self._throttle.succeeded(address, folded(session.user))
        return session

    async def new_sign_in_code(self, name: str | None = None) -> OneTimeCode:
        """Return a code that signs the user in once; without any user, a setup code.

        Args:
            name: may be left out where there is just one user.

        Raises:
            NotFound: no such user.
            InvalidRequest: there are several, and none is named.
        """
        if not await self.any_exists() and name is None:
            return await self.new_setup_code()
        code, expires_at = new_code(_CODE_LENGTH), now_ms() + SIGN_IN_CODE_MS

        def unit(db: Connection) -> str:
            user = _found(db, _only(db) if name is None else name)
            one_time_codes.add(db, _digest(code), user_id=user.id, expires_at=expires_at)
            return user.name

        user = await self._database.write(unit)
        url = f"{self._url}/login#{code}"
        return OneTimeCode(code=code, url=url, user=user, expires_at=expires_at)

    # Sessions

    async def session(self, token: str) -> Session | None:
        """Return the session of a cookie's value, None if it is not or no longer in force."""
        digest, now = _digest(token), now_ms()
        found = await self._database.read(
            lambda db: sessions.find(
                db, digest, created_after=now - self._max_ms, seen_after=now - self._idle_ms
            )
        )
        if found is None:
            return None
        if now - found.seen_at > _TOUCH_EVERY_MS:
            await self._database.write(lambda db: sessions.touch(db, digest, now))
        return Session(user=found.user, token=token)

    async def sign_out(self, token: str) -> None:
        """End one session."""
        await self._database.write(lambda db: sessions.remove(db, _digest(token)))

    def forget_expired(self, db: Connection, now: int) -> None:
        """Remove sessions and codes that are no longer in force; a part of housekeeping's unit."""
        sessions.prune(db, created_before=now - self._max_ms, seen_before=now - self._idle_ms)
        one_time_codes.prune(db, now)

    # Users

    async def users(self) -> list[User]:
        """Return every user."""
        return await self._database.read(users.all_users)

    async def add_user(self, name: str, password: str) -> User:
        """Make a user; setup codes are void from then on.

        Raises:
            InvalidRequest: the name or the password is not acceptable.
            Conflict: a user of this name exists.
        """
        name, now = self._accepted(name, password), now_ms()
        phc = await self._passwords.hash(password)

        def unit(db: Connection) -> User:
            _create(db, name, phc, now)
            one_time_codes.void_setup(db)
            return next(user for user in users.all_users(db) if user.name == name)

        return await self._database.write(unit)

    async def set_password(self, name: str, password: str, *, keep: Session | None = None) -> None:
        """Change a password and end the user's sessions, except `keep`.

        Raises:
            NotFound: no such user.
            InvalidRequest: the password is not acceptable.
        """
        check_password(password, name, shortest=self._config.min_password)
        phc, now = await self._passwords.hash(password), now_ms()
        kept = b"" if keep is None else _digest(keep.token)

        def unit(db: Connection) -> None:
            user = _found(db, name)
            users.set_password(db, user.id, phc, now)
            sessions.remove_of(db, user.id, keep=kept)
            one_time_codes.remove_of(db, user.id)
            events.add(db, "user.password_changed", now, data={"name": user.name})

        await self._database.write(unit)

    async def remove_user(self, name: str) -> None:
        """Remove a user with all sessions.

        Raises:
            NotFound: no such user.
            Conflict: it is the last one, and nobody could sign in any more.
        """
        now = now_ms()

        def unit(db: Connection) -> None:
            user = _found(db, name)
            if len(users.all_users(db)) == 1:
                raise Conflict(
                    "the last user cannot be removed",
                    code="user.last",
                    fix="add another user first: `appliance user add NAME`",
                )
            users.remove(db, user.id)
            events.add(db, "user.removed", now, data={"name": user.name})

        await self._database.write(unit)

    def _accepted(self, name: str, password: str) -> str:
        """Return the name as it is stored, if both may be used."""
        name = name.strip()
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                f"a user needs a name of 1 to {_LONGEST_NAME} characters",
                code="user.name_invalid",
                pointer="/name",
            )
        check_password(password, name, shortest=self._config.min_password)
        return name

    async def _note_failure(
        self, user: StoredUser | None, address: Address | None, now: int
    ) -> None:
        """Record it, at most once a minute and address: a stranger must not fill the store."""
        place = str(address)
        noted = self._failure_noted
        for other in [key for key, at in noted.items() if now - at >= _FAILURES_NOTED_EVERY_MS]:
            del noted[other]
        if place in noted:
            return
        noted[place] = now
        # What was typed as a name may be a password, so only a name that exists is kept.
        data = {"address": place, "name": user.name if user else None}
        await self._database.write(lambda db: events.add(db, "user.sign_in_failed", now, data=data))


def _refuse_if_set_up(db: Connection) -> None:
    if users.any_exists(db):
        raise Conflict(
            "there is a user already", code="setup.done", fix="sign in, or run `appliance open`"
        )


def _create(db: Connection, name: str, phc: str, now: int) -> int:
    if users.find(db, folded(name)) is not None:
        raise Conflict(
            f"a user named {name!r} exists",
            code="user.exists",
            fix=f"choose another name, or run `appliance user passwd {name}`",
        )
    user_id = users.add(db, name, folded(name), phc, now)
    events.add(db, "user.created", now, data={"name": name})
    return user_id


def _begin(
    db: Connection, session: Session, user_id: int, address: Address | None, now: int
) -> None:
    sessions.add(db, _digest(session.token), user_id, now)
    users.signed_in(db, user_id, now)
    data = {"name": session.user, "address": str(address)}
    events.add(db, "user.signed_in", now, data=data)


def _found(db: Connection, name: str) -> StoredUser:
    user = users.find(db, folded(name))
    if user is None:
        raise NotFound("user", name, fix="`appliance user list` shows the users")
    return user


def _only(db: Connection) -> str:
    names = [user.name for user in users.all_users(db)]
    if len(names) != 1:
        raise InvalidRequest(
            "there are several users, and none is named",
            pointer="/user",
            fix=f"name one of {', '.join(names)}",
        )
    return names[0]


def _new_session(user: str) -> Session:
    return Session(user=user, token=_new_token())


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
