"""Passwords: what is acceptable, and Argon2id in threads that a flood cannot multiply."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from appliance.errors import Busy, InvalidRequest

T = TypeVar("T")

_THREADS = 2  # each takes `auth.argon2_memory_mib`
_MOST_WAITING = 32
_WAIT_SECONDS = 20
_ITERATIONS = 3
_SALT_BYTES = 16
_HASH_BYTES = 32
_LONGEST = 1024


class Passwords:
    """Hashes and compares passwords, a few at a time."""

    def __init__(self, *, memory_mib: int) -> None:
        self._memory_kib = memory_mib * 1024
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        # Compared with when no such user exists, so that it takes as long.
        salt, digest = (_base64(os.urandom(length)) for length in (_SALT_BYTES, _HASH_BYTES))
        self._nobody = f"{self._prefix}{salt}${digest}"

    @property
    def _prefix(self) -> str:
        return f"$argon2id$v=19$m={self._memory_kib},t={_ITERATIONS},p=1$"

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the password's hash as a PHC string.

        Raises:
            Busy: too many passwords wait already.
        """
        return await self._run(partial(_hash, _normalised(password), self._memory_kib))

    async def matches(self, password: str, phc: str | None) -> bool:
        """Tell whether `phc` is of this password; None takes as long and is false.

        Raises:
            Busy: too many passwords wait already.
        """
        same = await self._run(partial(_verify, _normalised(password), phc or self._nobody))
        return same and phc is not None

    def is_outdated(self, phc: str) -> bool:
        """Tell whether `phc` was made with another cost than is configured."""
        return not phc.startswith(self._prefix)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Busy("too many people sign in at this moment", fix="try again in a few seconds")
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise Busy("the server is too busy to check a password") from error
        finally:
            self._waiting -= 1


def check_password(password: str, name: str, *, shortest: int) -> None:
    """Accept a password for the user `name`.

    Raises:
        InvalidRequest: it is too short, too long, or the name; `code` says which.
    """
    if len(password) < shortest:
        raise InvalidRequest(
            f"the password needs at least {shortest} characters",
            code="user.password_short",
            pointer="/password",
            fix="several words in a row are easy to remember",
        )
    if len(password) > _LONGEST:
        raise InvalidRequest(
            f"the password has more than {_LONGEST} characters",
            code="user.password_long",
            pointer="/password",
        )
    if folded(password) == folded(name):
        raise InvalidRequest(
            "the password is the name", code="user.password_is_name", pointer="/password"
        )


def folded(name: str) -> str:
    """Return what two spellings of one name have in common."""
    # Cut before, or marks that are to be put in order take seconds.
    return unicodedata.normalize("NFKC", name[:_LONGEST]).strip().casefold()


def _normalised(password: str) -> bytes:
    """One password, whichever keyboard composed its letters."""
    return unicodedata.normalize("NFKC", password[: _LONGEST + 1]).encode("utf-8", "replace")


def _hash(password: bytes, memory_kib: int) -> str:
    hasher = Argon2id(
        salt=os.urandom(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=_ITERATIONS,
        lanes=1,
        memory_cost=memory_kib,
    )
    return hasher.derive_phc_encoded(password)


def _verify(password: bytes, phc: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, phc)
    except InvalidKey:
        return False
    return True


def _base64(value: bytes) -> str:
    return b64encode(value).decode().rstrip("=")
