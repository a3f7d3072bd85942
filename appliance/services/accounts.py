"""People who may see the page: the first one, signing in, their passwords."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.config import AuthConfig
from appliance.config.checks import duration_ms
from appliance.errors import Conflict, SignInRefused
from appliance.services import users as units
from appliance.services.clock import MINUTE, now_ms
from appliance.services.codes import new_code, normalise
from appliance.services.passwords import Passwords, check_password, folded
from appliance.services.sessions import Session, begin, new_session, secret_sha256
from appliance.services.throttle import Address, SignInThrottle
from appliance.store import events, one_time_codes, sessions, users
from appliance.store.database import Connection, Database
from appliance.store.users import StoredUser, User

SIGN_IN_CODE_MS = 5 * MINUTE

_CODE_LENGTH = 24  # 115 bits
_FAILURES_NOTED_EVERY_MS = MINUTE


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
    """Users, and how they come to sessions; every user may do everything."""

    def __init__(self, database: Database, config: AuthConfig, url: str) -> None:
        """Keep the address of the page, `url`, for the addresses of codes."""
        self._database = database
        self._url = url
        self._config = config
        self._passwords = Passwords(memory_mib=config.argon2_memory_mib)
        self._throttle = SignInThrottle(
            attempts=config.login_attempts, block_ms=duration_ms(config.login_block)
        )
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
            units.refuse_if_set_up(db)
            one_time_codes.add(db, secret_sha256(code), user_id=None, expires_at=expires_at)

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
        digest, now = secret_sha256(normalise(code)), now_ms()
        self._throttle.begin(address, "", now)

        def check(db: Connection) -> None:
            units.refuse_if_set_up(db)
            if not one_time_codes.is_setup(db, digest, now):
                raise SignInRefused("the setup code is not valid")

        await self._database.read(check)
        self._throttle.succeeded(address, "")
        name = units.accepted(name, password, shortest=self._config.min_password)
        phc = await self._passwords.hash(password)
        session = new_session(name)

        def unit(db: Connection) -> None:
            check(db)
            one_time_codes.void_setup(db)
            user_id = units.create(db, name, phc, now)
            begin(db, session, user_id, address, now)

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
        key, now = folded(name), now_ms()
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
        session = new_session(user.name)

        def unit(db: Connection) -> None:
            # The password may have changed, or the user gone, while it was being compared.
            if users.find(db, key) != user:
                raise SignInRefused("the name or the password is wrong")
            if rehashed is not None:
                users.rehash(db, user.id, rehashed)
            begin(db, session, user.id, address, now)

        await self._database.write(unit)
        return session

    async def sign_in_with_code(self, code: str, address: Address | None) -> Session:
        """Use up a one-time code and return a new session.

        Raises:
            SignInRefused: the code is wrong, used or expired.
            TooMany: this address must wait.
        """
        digest, now = secret_sha256(normalise(code)), now_ms()
        self._throttle.begin(address, "", now)

        def unit(db: Connection) -> Session | None:
            found = one_time_codes.take(db, digest, now)
            if found is None:
                return None
            user_id, name = found
            session = new_session(name)
            begin(db, session, user_id, address, now)
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
            user = units.found(db, units.only(db) if name is None else name)
            one_time_codes.add(db, secret_sha256(code), user_id=user.id, expires_at=expires_at)
            return user.name

        user = await self._database.write(unit)
        url = f"{self._url}/login#{code}"
        return OneTimeCode(code=code, url=url, user=user, expires_at=expires_at)

    # Users

    async def users(self) -> list[User]:
        """Return every user."""
        return await self._database.read(users.all_users)

    async def user(self, name: str) -> User:
        """Return one user.

        Raises:
            NotFound: no such user.
        """

        def unit(db: Connection) -> User:
            known = units.found(db, name).name
            return next(user for user in users.all_users(db) if user.name == known)

        return await self._database.read(unit)

    async def add_user(self, name: str, password: str) -> User:
        """Make a user; setup codes are void from then on.

        Raises:
            InvalidRequest: the name or the password is not acceptable.
            Conflict: a user of this name exists.
        """
        name, now = units.accepted(name, password, shortest=self._config.min_password), now_ms()
        phc = await self._passwords.hash(password)

        def unit(db: Connection) -> User:
            units.create(db, name, phc, now)
            one_time_codes.void_setup(db)
            return next(user for user in users.all_users(db) if user.name == name)

        return await self._database.write(unit)

    async def set_password(self, name: str, password: str, *, keep: Session | None = None) -> None:
        """Change a password and end the user's sessions, except `keep`.

        Raises:
            NotFound: no such user.
            InvalidRequest: the password is not acceptable.
        """
        await self._put_password(name, password, keep=keep, was=None)

    async def change_password(
        self, session: Session, old: str, new: str, address: Address | None
    ) -> None:
        """Change one's own password, and end one's other sessions.

        Raises:
            SignInRefused: `old` is not the password.
            InvalidRequest: `new` is not acceptable.
            TooMany: somebody has tried too often.
            Busy: too many people sign in at this moment.
        """
        check_password(new, session.user, shortest=self._config.min_password)
        key, now = folded(session.user), now_ms()
        self._throttle.begin(address, key, now)
        user = await self._database.read(lambda db: units.found(db, session.user))
        if not await self._passwords.matches(old, user.password):
            await self._note_failure(user, address, now)
            raise SignInRefused("the old password is wrong")
        self._throttle.succeeded(address, key)
        await self._put_password(session.user, new, keep=session, was=user)

    async def remove_user(self, name: str) -> None:
        """Remove a user with all sessions.

        Raises:
            NotFound: no such user.
            Conflict: it is the last one, and nobody could sign in any more.
        """
        now = now_ms()

        def unit(db: Connection) -> None:
            user = units.found(db, name)
            if len(users.all_users(db)) == 1:
                raise Conflict(
                    "the last user cannot be removed",
                    code="user.last",
                    fix="add another user first: `appliance user add NAME`",
                )
            users.remove(db, user.id)
            events.add(db, "user.removed", now, data={"name": user.name})

        await self._database.write(unit)

    async def _put_password(
        self, name: str, password: str, *, keep: Session | None, was: StoredUser | None
    ) -> None:
        check_password(password, name, shortest=self._config.min_password)
        phc, now = await self._passwords.hash(password), now_ms()
        kept = b"" if keep is None else secret_sha256(keep.token)

        def unit(db: Connection) -> None:
            user = units.found(db, name)
            if was not in (None, user):  # somebody else changed it while this was compared
                raise SignInRefused("the old password is wrong")
            users.set_password(db, user.id, phc, now)
            sessions.remove_of(db, user.id, keep=kept)
            one_time_codes.remove_of(db, user.id)
            events.add(db, "user.password_changed", now, data={"name": user.name})

        await self._database.write(unit)

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
