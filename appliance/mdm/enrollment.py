"""Which channel of which device speaks: the identity that every message claims."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.errors import MalformedMessage
from appliance.wire.plist import Plist

MAX_PART_LENGTH = 255
# Sent as the UserID by every Shared iPad; the user is then named by UserShortName.
SHARED_IPAD_USER_ID = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"


class EnrollmentType(StrEnum):
    """The kind of a channel, in the words that NanoMDM's API uses."""

    DEVICE = "Device"
    USER = "User"
    USER_ENROLLMENT_DEVICE = "User Enrollment (Device)"
    USER_ENROLLMENT = "User Enrollment"
    SHARED_IPAD = "Shared iPad"


@dataclass(frozen=True, slots=True)
class EnrollmentID:
    """The identifier of one channel, in the case the device sent it; a claim until authorized."""

    id: str
    parent_id: str | None  # the device channel, for a user channel
    type: EnrollmentType

    @classmethod
    def from_plist(cls, body: Plist) -> EnrollmentID:
        """Return the channel that sent `body`: `UDID` or `EnrollmentID`, then the user if any."""
        values = body.value
        if "UDID" in values:
            device = _part(body, "UDID")
            if "UserID" not in values:
                return cls(device, None, _DEVICE)
            return _user_channel(device, body)
        if "EnrollmentID" not in values:
            raise MalformedMessage("is missing, and so is EnrollmentID", key="UDID")
        device = _part(body, "EnrollmentID")
        if "EnrollmentUserID" not in values:
            return cls(device, None, EnrollmentType.USER_ENROLLMENT_DEVICE)
        user = _part(body, "EnrollmentUserID")
        return cls(f"{device}:{user}", device, EnrollmentType.USER_ENROLLMENT)

    @property
    def device_id(self) -> str:
        """The identifier of the device channel, which may be this one."""
        return self.id if self.parent_id is None else self.parent_id

    @property
    def is_user_channel(self) -> bool:
        """Whether a user of the device speaks, not the device itself."""
        return self.parent_id is not None

    def __str__(self) -> str:
        return self.id


_DEVICE = EnrollmentType.DEVICE  # on the path of every message


def _user_channel(device: str, body: Plist) -> EnrollmentID:
    user = _part(body, "UserID")
    if user != SHARED_IPAD_USER_ID:
        return EnrollmentID(f"{device}:{user}", device, EnrollmentType.USER)
    user = _part(body, "UserShortName")
    return EnrollmentID(f"{device}:{user}", device, EnrollmentType.SHARED_IPAD)


def _part(body: Plist, key: str) -> str:
    text = body.text(key)
    if not text or len(text) > MAX_PART_LENGTH:
        raise MalformedMessage(f"is not 1 to {MAX_PART_LENGTH} characters long", key=key)
    # Not printable: control characters, line separators, marks that reorder text in a log.
    if not text.isprintable() or text.isspace():
        raise MalformedMessage("has characters that an identifier cannot have", key=key)
    # Browsers take them out of the addresses of its pages, however they are written.
    if text in (".", ".."):
        raise MalformedMessage("is no identifier", key=key)
    # A colon in a device's identifier could pass for a user channel of another device.
    if ":" in text and key in ("UDID", "EnrollmentID"):
        raise MalformedMessage("has a colon", key=key)
    return text
