"""Commands on their way to a device, and what it reports about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from xml.sax.saxutils import escape

from appliance.errors import MalformedMessage
from appliance.mdm.enrollment import EnrollmentID
from appliance.wire.plist import Plist, Value, dumps, loads

MAX_COMMAND_UUID_LENGTH = 255
MAX_REQUEST_TYPE_LENGTH = 255

# Keys of answers that unlock a device, wherever they stand: sealed, and shown on demand alone.
SECRET_KEYS = frozenset({"UnlockToken", "ActivationLockBypassCode", "BypassCode", "RecoveryKey"})
_SECRET_MARKS = tuple(f"<key>{key}</key>".encode() for key in SECRET_KEYS)


class Status(StrEnum):
    """What a device says about a command; Idle says that it waits for one."""

    IDLE = "Idle"
    ACKNOWLEDGED = "Acknowledged"
    ERROR = "Error"
    COMMAND_FORMAT_ERROR = "CommandFormatError"
    NOT_NOW = "NotNow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorChainItem:
    """One error; the first of a chain is what failed, the following are its causes."""

    error_code: int
    error_domain: str
    localized_description: str = ""
    us_english_description: str = ""

    @classmethod
    def from_plist(cls, item: Mapping[str, Value]) -> ErrorChainItem:
        """Read one item, without what is missing or of another type: refused for its words about
        a failure, a device would repeat its report forever.
        """
        code = item.get("ErrorCode")
        return cls(
            error_code=code if type(code) is int else 0,
            error_domain=_text(item, "ErrorDomain"),
            localized_description=_text(item, "LocalizedDescription"),
            us_english_description=_text(item, "USEnglishDescription"),
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One report of a device on `PUT ServerURL`."""

    enrollment: EnrollmentID
    status: Status
    command_uuid: str | None = None  # None for Idle, and for a command too broken to name
    error_chain: tuple[ErrorChainItem, ...] = ()
    body: Plist = field(default_factory=lambda: Plist({}), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCommand:
    """A command that a caller wrote as a property list.

    `payload` is what was read of it, written anew: a device that reads property lists in another
    way than we do cannot be told anything but what `command` says.
    """

    command_uuid: str
    request_type: str
    command: Plist = field(repr=False, compare=False)
    payload: bytes = field(repr=False)


def parse_result(body: Plist) -> CommandResult:
    """Return the report in `body`, or raise MalformedMessage naming the key that is wrong."""
    enrollment = EnrollmentID.from_plist(body)
    text = body.text("Status")
    status = _STATUSES.get(text)
    if status is None:
        raise MalformedMessage(f"unknown status {text[:40]!r}", key="Status")
    if status is _IDLE:
        return CommandResult(enrollment, status, None, (), body)
    if status is Status.COMMAND_FORMAT_ERROR and "CommandUUID" not in body:
        command_uuid = None
    else:
        command_uuid = _command_uuid(body)
    return CommandResult(enrollment, status, command_uuid, _error_chain(body), body)


def holds_secret(answer: bytes) -> bool:
    """Tell whether an answer, as it came, has one of SECRET_KEYS."""
    return any(mark in answer for mark in _SECRET_MARKS)


def parse_command(payload: bytes) -> RawCommand:
    """Return a command given as a property list; its parameters are not checked."""
    body = loads(payload)
    command = body.dictionary("Command")
    request_type = command.text("RequestType")
    if not 1 <= len(request_type) <= MAX_REQUEST_TYPE_LENGTH or not request_type.isprintable():
        raise MalformedMessage("is not the name of a command", key="Command.RequestType")
    command_uuid = _command_uuid(body)
    if command_uuid in (".", ".."):  # no address could name it: it means another one
        raise MalformedMessage("is not a name", key="CommandUUID")
    return RawCommand(
        command_uuid=command_uuid,
        request_type=request_type,
        command=command,
        payload=dumps(body),
    )


def encode_command(command_uuid: str, command: Mapping[str, Value]) -> bytes:
    """Return the property list that hands `command`, with its RequestType, to a device."""
    return dumps({"Command": dict(command), "CommandUUID": command_uuid})


def addressed(payload: bytes, command_uuid: str) -> bytes:
    """Return a command that was encoded with an empty CommandUUID with this one; others as is."""
    if not payload.endswith(_UNADDRESSED):
        return payload
    return payload[: -len(_UNADDRESSED)] + _ADDRESS.format(escape(command_uuid)).encode()


# A command's last key; whoever writes one of their own gives it a CommandUUID that is not empty.
_ADDRESS = "\t<key>CommandUUID</key>\n\t<string>{}</string>\n</dict>\n</plist>\n"
_UNADDRESSED = _ADDRESS.format("").encode()
_STATUSES = {str(status): status for status in Status}
_IDLE = Status.IDLE


def _error_chain(body: Plist) -> tuple[ErrorChainItem, ...]:
    chain = body.value.get("ErrorChain")
    if not isinstance(chain, list):
        return ()
    return tuple(ErrorChainItem.from_plist(item) for item in chain if isinstance(item, dict))


def _text(item: Mapping[str, Value], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _command_uuid(body: Plist) -> str:
    text = body.text("CommandUUID")
    if not 1 <= len(text) <= MAX_COMMAND_UUID_LENGTH or not text.isprintable():
        raise MalformedMessage(
            f"is not 1 to {MAX_COMMAND_UUID_LENGTH} printable characters", key="CommandUUID"
        )
    return text
