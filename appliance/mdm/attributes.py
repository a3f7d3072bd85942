"""What a device signs about itself before it is enrolled: which one it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.errors import MalformedMessage
from appliance.mdm.enrollment import MAX_PART_LENGTH, EnrollmentID
from appliance.wire.plist import Plist, loads_from_device

DEVICE_ATTRIBUTES = ("UDID", "SERIAL", "PRODUCT")  # all that is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAttributes:
    """The attributes of the over-the-air profile service, or MachineInfo; a claim by itself."""

    udid: str
    serial_number: str
    challenge: str | None = field(default=None, repr=False)  # only in the first message


def parse_attributes(content: bytes) -> DeviceAttributes:
    """Return what a signed property list says; MalformedMessage names the key that is wrong.

    Source: Over-the-Air Profile Delivery and Configuration, "Phase 2"; MachineInfo, in "Device
    Management".
    """
    body = loads_from_device(content)
    # A Mac also says which user asks; the device is meant all the same.
    device = EnrollmentID.from_plist(Plist({"UDID": body.text("UDID")}))
    serial_number = body.text("SERIAL")
    is_plain = serial_number.isprintable() and serial_number == serial_number.strip()
    if not is_plain or not 1 <= len(serial_number) <= MAX_PART_LENGTH:
        raise MalformedMessage("is not a serial number", key="SERIAL")
    return DeviceAttributes(
        udid=device.id, serial_number=serial_number, challenge=body.text("CHALLENGE", None)
    )
