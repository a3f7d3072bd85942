"""Why a form with a password or a code led nowhere, as its page says it."""

from __future__ import annotations

from enum import StrEnum

from appliance.errors import ApplianceError, Busy, InvalidRequest, SignInRefused, TooMany


class Trouble(StrEnum):
    """What is wrong; those of the services are named as their error codes are."""

    WRONG = "wrong"
    OLD = "old"
    CODE = "code"
    WAIT = "wait"
    BUSY = "busy"
    NAME = "user.name_invalid"
    SHORT = "user.password_short"
    LONG = "user.password_long"
    IS_NAME = "user.password_is_name"
    DIFFERENT = "different"


class Different(InvalidRequest):
    """The two passwords are not the same."""

    code = Trouble.DIFFERENT


def trouble_of(error: ApplianceError, refused: Trouble) -> Trouble:
    """Return what to say of an error; `refused` where the name, password or code is wrong."""
    match error:
        case TooMany():
            return Trouble.WAIT
        case Busy():
            return Trouble.BUSY
        case SignInRefused():
            return refused
        case _:
            return Trouble(error.code)


def wait_minutes(error: ApplianceError | None) -> int:
    """Return how long nobody need try again, 0 where that is not the matter."""
    return -(-error.retry_after_seconds // 60) if isinstance(error, TooMany) else 0
