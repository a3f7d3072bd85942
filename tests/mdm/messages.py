"""One complete example of every message, and the captures of real devices."""

from __future__ import annotations

from pathlib import Path

from appliance.wire.plist import Plist, Value, loads

CAPTURES = Path(__file__).parents[2] / ".." / "shared" / "captures"

TOPIC = "com.apple.mgmt.External.00000000-0000-0000-0000-000000000000"
UDID = "D4D56083-BFB0-5047-8BDF-2727BACDC59B"
USER: dict[str, Value] = {"UserID": "U", "UserShortName": "anna", "UserLongName": "Anna"}

MESSAGES: dict[str, dict[str, Value]] = {
    "Authenticate": {
        "Topic": TOPIC,
        "UDID": UDID,
        "SerialNumber": "C0",
        "DeviceName": "Anna's Mac",
        "Model": "Mac14,2",
        "ModelName": "MacBook Air",
        "ProductName": "Mac14,2",
        "OSVersion": "15.1",
        "BuildVersion": "24B83",
        "IMEI": "1",
        "MEID": "2",
    },
    "TokenUpdate": {
        "Topic": TOPIC,
        "UDID": UDID,
        "Token": b"\x01" * 32,
        "PushMagic": "magic",
        "UnlockToken": b"unlock",
        "AwaitingConfiguration": True,
        "NotOnConsole": False,
        **USER,
    },
    "CheckOut": {"Topic": TOPIC, "UDID": UDID},
    "UserAuthenticate": {"UDID": UDID, **USER, "DigestResponse": "Digest response"},
    "SetBootstrapToken": {
        "UDID": UDID,
        "BootstrapToken": b"bootstrap",
        "AwaitingConfiguration": False,
    },
    "GetBootstrapToken": {"UDID": UDID, "AwaitingConfiguration": False},
    "DeclarativeManagement": {"UDID": UDID, "Endpoint": "status", "Data": b"{}"},
    "GetToken": {
        "UDID": UDID,
        "TokenServiceType": "com.apple.maid",
        "TokenParameters": {"SecurityToken": "x"},
    },
    "ReturnToService": {"UDID": UDID},
}

REQUIRED = {
    "Authenticate": {"Topic", "UDID"},
    "TokenUpdate": {"Topic", "UDID", "Token", "PushMagic"},
    "CheckOut": {"Topic", "UDID"},
    "UserAuthenticate": {"UDID", "UserID"},
    "SetBootstrapToken": {"UDID"},
    "GetBootstrapToken": {"UDID"},
    "DeclarativeManagement": {"UDID", "Endpoint"},
    "GetToken": {"UDID", "TokenServiceType"},
    "ReturnToService": {"UDID"},
}


def message(message_type: str, **changes: Value) -> Plist:
    return Plist({"MessageType": message_type, **MESSAGES[message_type], **changes})


def captures(*, checkins: bool) -> list[Path]:
    """Return the captures that are check-in messages, or those that are command reports."""
    files = sorted([*CAPTURES.glob("*.xml"), *CAPTURES.glob("*.plist")])
    return [path for path in files if (b"<key>MessageType</key>" in path.read_bytes()) is checkins]


def read_capture(path: Path) -> Plist:
    return loads(path.read_bytes())
