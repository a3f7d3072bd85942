"""Check-in messages: each is parsed once and typed from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from appliance.errors import MalformedMessage
from appliance.mdm.enrollment import EnrollmentID
from appliance.wire.plist import Plist

MAX_TOKEN_BYTES = 1024
MAX_SECRET_BYTES = 64 * 1024
MAX_TEXT_LENGTH = 1024
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """A device asks to be enrolled; only its first TokenUpdate proves that it is."""

    enrollment: EnrollmentID
    topic: str
    # Sent only if the profile grants the right to query device information.
    serial_number: str | None = None
    device_name: str | None = None
    model: str | None = None
    model_name: str | None = None
    product_name: str | None = None
    os_version: str | None = None
    build_version: str | None = None
    imei: str | None = None
    meid: str | None = None
    body: Plist = field(repr=False, compare=False)

    @classmethod
    def from_plist(cls, body: Plist) -> Authenticate:
        """Read the message; a user channel cannot send it."""
        enrollment = EnrollmentID.from_plist(body)
        if enrollment.is_user_channel:
            raise MalformedMessage("does not belong in Authenticate", key="UserID")
        return cls(
            enrollment=enrollment,
            topic=_name(body, "Topic"),
            serial_number=_fact(body, "SerialNumber"),
            device_name=_fact(body, "DeviceName"),
            model=_fact(body, "Model"),
            model_name=_fact(body, "ModelName"),
            product_name=_fact(body, "ProductName"),
            os_version=_fact(body, "OSVersion"),
            build_version=_fact(body, "BuildVersion"),
            imei=_fact(body, "IMEI"),
            meid=_fact(body, "MEID"),
            body=body,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUpdate:
    """How to push to one channel. The first one completes the enrollment."""

    enrollment: EnrollmentID
    topic: str
    push_magic: str = field(repr=False)
    token: bytes = field(repr=False)  # opaque; Apple promises no fixed length
    unlock_token: bytes | None = field(default=None, repr=False)  # clears a forgotten passcode
    awaiting_configuration: bool | None = None  # absent: as it was
    not_on_console: bool | None = None
    user_short_name: str | None = None
    user_long_name: str | None = None

    @classmethod
    def from_plist(cls, body: Plist) -> TokenUpdate:
        """Read the message."""
        return cls(
            enrollment=EnrollmentID.from_plist(body),
            topic=_name(body, "Topic"),
            push_magic=_name(body, "PushMagic"),
            token=_sized(body.data("Token"), "Token", MAX_TOKEN_BYTES),
            unlock_token=_secret(body, "UnlockToken"),
            awaiting_configuration=body.boolean("AwaitingConfiguration", None),
            not_on_console=body.boolean("NotOnConsole", None),
            user_short_name=_fact(body, "UserShortName"),
            user_long_name=_fact(body, "UserLongName"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """The management profile was removed. Sent once, and not at all by an erased device."""

    enrollment: EnrollmentID
    topic: str

    @classmethod
    def from_plist(cls, body: Plist) -> CheckOut:
        """Read the message."""
        return cls(enrollment=EnrollmentID.from_plist(body), topic=_name(body, "Topic"))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAuthenticate:
    """A network or mobile user logs in to a Mac and asks whether to be managed."""

    enrollment: EnrollmentID
    user_id: str
    digest_response: str | None = field(default=None, repr=False)  # the second round

    @classmethod
    def from_plist(cls, body: Plist) -> UserAuthenticate:
        """Read the message; only the user channel of a Mac can send it."""
        user_id = _name(body, "UserID")
        enrollment = EnrollmentID.from_plist(body)
        if not enrollment.is_user_channel:
            raise MalformedMessage("is missing", key="UDID")
        return cls(
            enrollment=enrollment,
            user_id=user_id,
            digest_response=_fact(body, "DigestResponse"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBootstrapToken:
    """A token to escrow; None asks to forget the one that is stored."""

    enrollment: EnrollmentID
    bootstrap_token: bytes | None = field(default=None, repr=False)
    awaiting_configuration: bool | None = None

    @classmethod
    def from_plist(cls, body: Plist) -> SetBootstrapToken:
        """Read the message; an empty token is the same as none."""
        return cls(
            enrollment=EnrollmentID.from_plist(body),
            bootstrap_token=_secret(body, "BootstrapToken"),
            awaiting_configuration=body.boolean("AwaitingConfiguration", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBootstrapToken:
    """A device asks for the token it escrowed."""

    enrollment: EnrollmentID
    awaiting_configuration: bool | None = None

    @classmethod
    def from_plist(cls, body: Plist) -> GetBootstrapToken:
        """Read the message."""
        return cls(
            enrollment=EnrollmentID.from_plist(body),
            awaiting_configuration=body.boolean("AwaitingConfiguration", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarativeManagement:
    """One request of declarative management, carried in a check-in."""

    enrollment: EnrollmentID
    endpoint: str
    data: bytes | None = field(default=None, repr=False)  # JSON, for a status report

    @classmethod
    def from_plist(cls, body: Plist) -> DeclarativeManagement:
        """Read the message; what `data` holds is not looked at."""
        endpoint = body.text("Endpoint")
        if not endpoint or len(endpoint) > MAX_TEXT_LENGTH or not endpoint.isprintable():
            raise MalformedMessage("is not the name of an endpoint", key="Endpoint")
        return cls(
            enrollment=EnrollmentID.from_plist(body),
            endpoint=endpoint,
            data=body.data("Data", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GetToken:
    """A device asks for a token of one of Apple's services."""

    enrollment: EnrollmentID
    token_service_type: str
    token_parameters: Plist | None = field(default=None, repr=False)

    @classmethod
    def from_plist(cls, body: Plist) -> GetToken:
        """Read the message."""
        return cls(
            enrollment=EnrollmentID.from_plist(body),
            token_service_type=_name(body, "TokenServiceType"),
            token_parameters=body.dictionary("TokenParameters", None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnToService:
    """A device that is about to be erased asks whether it shall come back by itself (iOS 26)."""

    enrollment: EnrollmentID

    @classmethod
    def from_plist(cls, body: Plist) -> ReturnToService:
        """Read the message."""
        return cls(enrollment=EnrollmentID.from_plist(body))


CheckinMessage: TypeAlias = (
    Authenticate
    | TokenUpdate
    | CheckOut
    | UserAuthenticate
    | SetBootstrapToken
    | GetBootstrapToken
    | DeclarativeManagement
    | GetToken
    | ReturnToService
)

_MESSAGES: dict[str, Callable[[Plist], CheckinMessage]] = {
    "Authenticate": Authenticate.from_plist,
    "TokenUpdate": TokenUpdate.from_plist,
    "CheckOut": CheckOut.from_plist,
    "UserAuthenticate": UserAuthenticate.from_plist,
    "SetBootstrapToken": SetBootstrapToken.from_plist,
    "GetBootstrapToken": GetBootstrapToken.from_plist,
    "DeclarativeManagement": DeclarativeManagement.from_plist,
    "GetToken": GetToken.from_plist,
    "ReturnToService": ReturnToService.from_plist,
}


def parse_checkin(body: Plist) -> CheckinMessage:
    """Return the typed message, or raise MalformedMessage naming the key that is wrong."""
    message_type = body.text("MessageType")
    read = _MESSAGES.get(message_type)
    if read is None:
        raise MalformedMessage(f"unknown message {message_type[:40]!r}", key="MessageType")
    return read(body)


def _name(body: Plist, key: str) -> str:
    """Return a required text that must say something."""
    text = body.text(key)
    if not text or len(text) > MAX_NAME_LENGTH:
        raise MalformedMessage(f"is not 1 to {MAX_NAME_LENGTH} characters long", key=key)
    return text


def _fact(body: Plist, key: str) -> str | None:
    """Return an optional text; empty is the same as absent."""
    text = body.text(key, None)
    if text is not None and len(text) > MAX_TEXT_LENGTH:
        raise MalformedMessage(f"is longer than {MAX_TEXT_LENGTH} characters", key=key)
    return text or None


def _secret(body: Plist, key: str) -> bytes | None:
    value = body.data(key, None)
    return _sized(value, key, MAX_SECRET_BYTES) if value else None


def _sized(value: bytes, key: str, most: int) -> bytes:
    if not 1 <= len(value) <= most:
        raise MalformedMessage(f"is not 1 to {most} bytes long", key=key)
    return value
