"""One complete example of every message, and the captures of real devices."""

from __future__ import annotations

from pathlib import Path

from appliance.wire.plist import Plist, Value, loads

CAPTURES = Path(__file__).parents[2] / ".." / "shared" / "captures"

REQUIRED = {
    "Authenticate": {"Topic", "UDID"},
    "TokenUpdate": {"Topic", "UDID", "Token", "PushMagic"},
    "CheckOut": {"Topic", "UDID"},
    "UserAuthenticate": {"UDID", "UserID"},
    "SetBootstrapToken": {"UDID"},
    "GetBootstrapToken": {"UDID"},
    "DeclarativeManagement": {"UDID", "Endpoint"},
    "GetToken": {"UDID", "TokenServiceType"},
}


def message(message_type: str, **changes: Value) -> Plist:
    return Plist({"MessageType": message_type, **MESSAGES[message_type], **changes})


def captures(*, checkins: bool) -> list[Path]:
    """Return the captures that are check-in messages, or those that are command reports."""
    files = sorted([*CAPTURES.glob("*.xml"), *CAPTURES.glob("*.plist")])
    return [path for path in files if (b"<key>MessageType</key>" in path.read_bytes()) is checkins]


def read_capture(path: Path) -> Plist:
    return loads(path.read_bytes())
