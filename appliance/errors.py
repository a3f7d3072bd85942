"""Everything that can go wrong, named for what is wrong.

Exceptions say what, why and how to fix it; `web/errors.py` alone says which HTTP status,
`cli/__init__.py` alone says which exit status.
"""

from __future__ import annotations


class ApplianceError(Exception):
    """The root of our errors: a stable `code`, a sentence, and where possible a fix."""

    code = "internal"

    def __init__(self, problem: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.why = why
        self.fix = fix


class MalformedMessage(ApplianceError):
    """Bytes that do not follow their format; `key` names the offending plist key, if any."""

    code = "message.malformed"

    def __init__(self, problem: str, *, key: str | None = None) -> None:
        super().__init__(problem if key is None else f"{key}: {problem}")
        self.key = key


class BadSignature(ApplianceError):
    """A digest or a signature does not match."""

    code = "signature.bad"


class UnsupportedAlgorithm(ApplianceError):
    """A cipher, digest or key that the policy refuses."""

    code = "algorithm.unsupported"


class NotAuthorized(ApplianceError):
    """The certificate is not the one bound to this enrollment. Never answered with 401."""

    code = "device.not_authorized"


class AccessRefused(NotAuthorized):
    """Whoever asks may not use the administrator's interfaces from there, or in this way."""

    code = "auth.refused"


class EnrollmentBlocked(ApplianceError):
    """An administrator blocked this enrollment: the one case where a device is told to leave."""

    code = "device.blocked"


class UserChannelRefused(ApplianceError):
    """This user is not managed (Apple: 410 to UserAuthenticate)."""

    code = "device.user_not_managed"


class ScepRefused(ApplianceError):
    """A SCEP request answered with a signed failure; `fail_info`: RFC 8894, section 3.2.1.4."""

    code = "scep.refused"

    def __init__(self, problem: str, fail_info: int) -> None:
        super().__init__(problem)
        self.fail_info = fail_info


class InvalidRequest(ApplianceError):
    """A request of a person or a program that cannot be carried out; `pointer` names the field."""

    code = "request.invalid"

    def __init__(
        self, problem: str, *, code: str = "", pointer: str = "", why: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, why=why, fix=fix)
        self.code = code or type(self).code
        self.pointer = pointer


class ConfirmationRequired(InvalidRequest):
    """A dangerous command without the serial number that confirms it."""

    code = "command.confirmation_required"


class NotFound(ApplianceError):
    """Nothing of that name exists; `code` is `device.not_found`, `command.not_found`, …"""

    def __init__(self, noun: str, name: str, *, fix: str = "") -> None:
        super().__init__(f"no {noun.replace('_', ' ')} {name!r}", fix=fix or _LISTED.get(noun, ""))
        self.code = f"{noun}.not_found"


_LISTED = {
    "certificate": "see `appliance device list`; a certificate also has its serial number",
    "command": "see `appliance device history DEVICE`",
    "device": "see `appliance device list`",
    "enrollment_link": "see `appliance enroll list`",
    "token": "see `appliance token list`",
    "user": "see `appliance user list`",
    "webhook": "see `appliance webhook list`",
}


class Conflict(ApplianceError):
    """The request contradicts what is stored."""

    def __init__(self, problem: str, *, code: str, why: str = "", fix: str = "") -> None:
        super().__init__(problem, why=why, fix=fix)
        self.code = code


class NotAuthenticated(ApplianceError):
    """An API caller without a valid token."""

    code = "auth.required"


class SignInRefused(ApplianceError):
    """A password or a one-time code that lets nobody in; the text does not say why."""

    code = "auth.sign_in_refused"


class ScopeMissing(ApplianceError):
    """An API caller whose token lacks a scope."""

    code = "auth.scope_missing"


class Busy(ApplianceError):
    """The store cannot take the write now; the caller should try again."""

    code = "server.busy"


class ClockWrong(Busy):
    """The clock of this machine is certainly wrong; nothing that carries a date is made."""

    code = "clock.wrong"


class TooLarge(ApplianceError):
    """A body over its limit."""

    code = "request.too_large"


class TooMany(ApplianceError):
    """A rate limit was reached."""

    code = "request.too_many"

    def __init__(
        self, problem: str, retry_after_seconds: int, *, why: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, why=why, fix=fix)
        self.retry_after_seconds = retry_after_seconds


class ConfigError(ApplianceError):
    """The configuration cannot be used."""

    code = "config.invalid"


class ListenFailed(ApplianceError):
    """An address cannot be listened on at this moment."""

    code = "server.listen"


class NotInitialised(ApplianceError):
    """The data directory holds no appliance."""

    code = "data.not_initialised"


class DataDirectoryUnusable(ApplianceError):
    """The data directory is locked, too open, or not ours."""

    code = "data.unusable"


class DirectoryForbidden(DataDirectoryUnusable):
    """The data directory is another user's, and we may not look into it."""

    code = "data.forbidden"


class PassphraseRequired(DataDirectoryUnusable):
    """The keys are protected by a passphrase: there is none, or not the right one."""

    code = "data.passphrase"


class DirectoryInUse(DataDirectoryUnusable):
    """Another program has the data directory, or its store, at this moment."""

    code = "data.in_use"


class StoreDamaged(DataDirectoryUnusable):
    """The database file holds what it should not; it is never replaced by an empty one."""

    code = "store.damaged"


class StoreFailed(ApplianceError):
    """The disk or the file failed under the running server; a new start finds out how it is."""

    code = "store.failed"


class RootRequired(ApplianceError):
    """A change to the machine that only root may make."""

    code = "service.root_required"


class ServiceFailed(ApplianceError):
    """The service manager, or a command it needs, failed; `why` has its words."""

    code = "service.failed"


class BackupUnusable(ApplianceError):
    """A backup that is damaged, of another key, or of a newer release."""

    code = "backup.unusable"
