"""What only Macs have: extensions, content caching, lights-out management, Remote Desktop."""

from __future__ import annotations

from typing import Any, Final

from appliance.simulator.answers.command import MAC, Answer, Call, Command, acknowledged, utc
from appliance.simulator.answers.queries import has_lights_out, stable
from appliance.simulator.errors import MDM, Malformed, Refusal

_EXTENSIONS: Final = (
    ("com.apple.share.Mail.compose", "com.apple.share-services", "Mail", "com.apple.mail"),
    ("com.apple.Notes.SharingExtension", "com.apple.share-services", "Notes", "com.apple.Notes"),
    ("com.apple.ncplugin.weather", "com.apple.widget-extension", "Weather", "com.apple.weather"),
    ("com.apple.Photos.PhotosFileProvider", "com.apple.fileprovider-nonui", "Photos", ""),
)


def _active_extensions(call: Call) -> Answer:
    points = call.keys.get("FilterExtensionPoints")
    return acknowledged(
        Extensions=[
            {
                "Identifier": identifier,
                "ExtensionPoint": point,
                "DisplayName": name,
                "ContainerDisplayName": name,
                "ContainerIdentifier": container or identifier.rpartition(".")[0],
                "Path": f"/System/Library/ExtensionKit/Extensions/{name}.appex",
                "Version": "1.0",
                "UserElection": "Default",
            }
            for identifier, point, name, container in _EXTENSIONS
            if points is None or point in points
        ]
    )


def _extension_mappings(call: Call) -> Answer:
    return acknowledged(
        Extensions=[
            {"Identifier": identifier, "ExtensionPoint": point, "DisplayName": name}
            for identifier, point, name, _ in _EXTENSIONS
        ]
    )


def _content_caching(call: Call) -> Answer:
    on = call.mac.content_cache
    status: dict[str, Any] = {
        "Activated": on,
        "Active": on,
        "CacheStatus": "OK",
        "CacheUsed": 0,
        "CacheFree": int((call.state.capacity - call.state.used) * 1024**3),
        "CacheLimit": 0,
        "ActualCacheUsed": 0,
        "Alerts": [],
        "Peers": [],
        "Parents": [],
        "Port": 0,
        "RestrictedMedia": False,
        "ServerGUID": stable(call.state, "content cache", 32),
        "StartupStatus": "OK" if on else "NOT_ACTIVATED",
        "TotalBytesAreSince": utc(call.now),
        "TotalBytesDropped": 0,
        "TotalBytesImported": 0,
        "TotalBytesReturnedToClients": 0,
        "TotalBytesStoredFromOrigin": 0,
    }
    return acknowledged(StatusResponse=status)


def _lights_out_setup(call: Call) -> Answer:
    _require_lights_out(call)
    address = stable(call.state, "lights out", 16).lower()
    groups = ":".join(address[start : start + 4] for start in range(0, 16, 4))
    return acknowledged(
        PrimaryIPv6AddressList=[f"fe80::{groups}"],
        SecondaryIPv6AddressList=[],
        LOMProtocolVersion=1,
    )


def _lights_out_requests(call: Call) -> Answer:
    _require_lights_out(call)
    requests = call.keys["RequestList"]
    if not all(isinstance(one, dict) and "DeviceRequestUUID" in one for one in requests):
        raise Malformed("each of RequestList needs a DeviceRequestUUID")
    return acknowledged(
        ResponseList=[
            {"DeviceRequestUUID": str(one["DeviceRequestUUID"]), "DeviceRequestSuccess": True}
            for one in requests
        ]
    )


def _require_lights_out(call: Call) -> None:
    if not has_lights_out(call.state):
        raise Refusal(MDM, 12021, "This Mac has no lights-out management.")


def _enable_remote_desktop(call: Call) -> Answer:
    call.mac.remote_desktop = True
    return acknowledged()


def _disable_remote_desktop(call: Call) -> Answer:
    call.mac.remote_desktop = False
    return acknowledged()


COMMANDS: Final = {
    "ActiveNSExtensions": Command(
        run=_active_extensions,
        on=MAC,
        right=256,
        channels="U",
        takes={"FilterExtensionPoints": list},
    ),
    "NSExtensionMappings": Command(run=_extension_mappings, on=MAC, right=256, channels="U"),
    "ContentCachingInformation": Command(run=_content_caching, on=MAC, right=32),
    "LOMSetupRequest": Command(run=_lights_out_setup, on=MAC, right=4),
    "LOMDeviceRequest": Command(
        run=_lights_out_requests, on=MAC, right=4, needs={"RequestList": list}
    ),
    "EnableRemoteDesktop": Command(run=_enable_remote_desktop, on=MAC, supervised=MAC),
    "DisableRemoteDesktop": Command(run=_disable_remote_desktop, on=MAC, supervised=MAC),
}
