"""The only place that turns an error into an exit status of the process."""

from __future__ import annotations

from collections.abc import Mapping

from appliance import errors
from appliance.errors import (
    ApplianceError,
    BackupUnusable,
    BadSignature,
    ClockWrong,
    ConfigError,
    ConfirmationRequired,
    Conflict,
    DataDirectoryUnusable,
    DirectoryForbidden,
    DirectoryInUse,
    EnrollmentBlocked,
    InvalidRequest,
    MalformedMessage,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    NotInitialised,
    RootRequired,
    ScopeMissing,
    SignInRefused,
    StoreDamaged,
    UnsupportedAlgorithm,
)

# A service that ends with 2, 3, 5, 7 or 12 stays down, as another start would find the same: see
# config/appliance.service. What may be over in a moment is 1.
FAILED = 1
USAGE = 2
NOT_INITIALISED = 3
UNREACHABLE = 4
NOT_AUTHORISED = 5
NOT_FOUND = 6
CONFLICT = 7
PARTLY_FAILED = 8
TIMED_OUT = 10
CONFIRMATION_MISSING = 11
DAMAGED = 12
INTERRUPTED = 130


class ServerUnreachable(ApplianceError):
    """Nobody answers on the socket of the data directory."""

    code = "server.unreachable"


class TimedOut(ApplianceError):
    """The server or a device did not answer in time."""

    code = "timed_out"


class Refused(ApplianceError):
    """The server's problem document, as an error here."""

    def __init__(self, problem: str, *, code: str, status: int, why: str, fix: str) -> None:
        super().__init__(problem, why=why, fix=fix)
        self.code = code
        self.status = status


_BY_ERROR: Mapping[type[ApplianceError], int] = {
    ApplianceError: FAILED,
    InvalidRequest: USAGE,
    MalformedMessage: USAGE,
    BadSignature: USAGE,
    UnsupportedAlgorithm: USAGE,
    ConfigError: USAGE,
    NotInitialised: NOT_INITIALISED,
    ServerUnreachable: UNREACHABLE,
    NotAuthenticated: NOT_AUTHORISED,
    NotAuthorized: NOT_AUTHORISED,
    ScopeMissing: NOT_AUTHORISED,
    SignInRefused: NOT_AUTHORISED,
    RootRequired: NOT_AUTHORISED,
    NotFound: NOT_FOUND,
    ClockWrong: CONFLICT,
    Conflict: CONFLICT,
    EnrollmentBlocked: CONFLICT,
    DataDirectoryUnusable: CONFLICT,
    DirectoryForbidden: NOT_AUTHORISED,
    DirectoryInUse: FAILED,
    StoreDamaged: DAMAGED,
    TimedOut: TIMED_OUT,
    ConfirmationRequired: CONFIRMATION_MISSING,
    BackupUnusable: DAMAGED,
}

_BY_STATUS = {
    400: USAGE,
    401: NOT_AUTHORISED,
    403: NOT_AUTHORISED,
    404: NOT_FOUND,
    409: CONFLICT,
    422: USAGE,
}


def _of_class(kind: type[ApplianceError]) -> int:
    return next(_BY_ERROR[cls] for cls in kind.__mro__ if cls in _BY_ERROR)


# An error ends a command alike, whether it is raised here or told by the server.
_BY_CODE = {
    **{
        kind.code: _of_class(kind)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ApplianceError) and "code" in vars(kind)
    },
    # Right in form, and yet not possible: a precondition, not a usage error.
    "command.not_supported": CONFLICT,
    "command.unlock_token_missing": CONFLICT,
}


def exit_status(error: ApplianceError) -> int:
    """Return the exit status for `error`."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, Refused):
        return _BY_STATUS.get(error.status, FAILED)
    return _of_class(type(error))
