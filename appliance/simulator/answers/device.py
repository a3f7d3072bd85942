"""The device as a whole: lock, erase, restart, Lost Mode, mirroring, declarations."""

from __future__ import annotations

from typing import Final

from appliance.simulator.answers.command import (
    ALL,
    IOS,
    MAC,
    TV,
    After,
    Answer,
    Call,
    Command,
    acknowledged,
    utc,
)
from appliance.simulator.answers.queries import stable
from appliance.simulator.errors import MDM, Malformed, Refusal, not_supervised
from appliance.simulator.state import LostMode


def _lock(call: Call) -> Answer:
    state = call.state
    if state.is_mac:
        if len(call.text("PIN")) != 6:
            raise Refusal(MDM, 12008, "A PIN of six characters is required to lock a Mac.")
        state.locked = True
        return acknowledged()
    if state.lost_mode:
        return acknowledged(MessageResult="DeviceInLostMode")
    state.locked = state.passcode
    return acknowledged(MessageResult="Success" if state.passcode else "NoPasscodeSet")


def _erase(call: Call) -> Answer:
    pin = call.keys.get("PIN")
    if pin is not None and len(pin) != 6:
        raise Malformed("PIN has six characters")
    return acknowledged(After.ERASE)


def _restart(call: Call) -> Answer:
    return acknowledged(After.RESTART)


def _shut_down(call: Call) -> Answer:
    return acknowledged(After.SHUT_DOWN)


def _declarations(call: Call) -> Answer:
    return acknowledged(After.DECLARATIONS)


def _enable_lost_mode(call: Call) -> Answer:
    if not call.state.supervised:
        raise Refusal(MDM, 12066, "Lost Mode could not be enabled.", cause=not_supervised())
    if not (call.text("Message") or call.text("PhoneNumber")):
        raise Refusal(MDM, 12066, "Lost Mode needs a message or a phone number.")
    call.state.lost_mode = LostMode(
        message=call.text("Message"),
        phone_number=call.text("PhoneNumber"),
        footnote=call.text("Footnote"),
    )
    return acknowledged()


def _disable_lost_mode(call: Call) -> Answer:
    _require_lost_mode(call)
    call.state.lost_mode = None
    return acknowledged()


def _play_lost_mode_sound(call: Call) -> Answer:
    _require_lost_mode(call)
    return acknowledged()


def _location(call: Call) -> Answer:
    _require_lost_mode(call)
    # Somewhere within some hundred metres of Tokyo Station, the same place at every call.
    north, east = (int(stable(call.state, way, 4), 16) / 0x10000 for way in ("north", "east"))
    return acknowledged(
        Latitude=round(35.6812 + north * 0.005, 6),
        Longitude=round(139.7671 + east * 0.005, 6),
        HorizontalAccuracy=12.0,
        VerticalAccuracy=8.0,
        Altitude=41.5,
        Speed=-1.0,
        Course=-1.0,
        Timestamp=f"{utc(call.now).isoformat()}Z",
    )


def _require_lost_mode(call: Call) -> None:
    if call.state.lost_mode is None:
        raise Refusal(MDM, 12067, "The device is not in Lost Mode.")


def _request_mirroring(call: Call) -> Answer:
    if not (call.text("DestinationName") or call.text("DestinationDeviceID")):
        raise Malformed("DestinationName or DestinationDeviceID is needed")
    return acknowledged(MirroringResult="Prompting")


def _stop_mirroring(call: Call) -> Answer:
    return acknowledged()


COMMANDS: Final = {
    "DeviceLock": Command(
        run=_lock,
        on=IOS | MAC,
        right=4,
        takes={"Message": str, "PhoneNumber": str, "PIN": str},
        awake=False,
        lost=True,
    ),
    "EraseDevice": Command(
        run=_erase,
        right=8,
        takes={
            "PIN": str,
            "PreserveDataPlan": bool,
            "DisallowProximitySetup": bool,
            "ObliterationBehavior": str,
            "ReturnToService": dict,
        },
        awake=False,
        lost=True,
    ),
    "RestartDevice": Command(
        run=_restart,
        right=4,
        supervised=IOS | TV,
        takes={"RebuildKernelCache": bool, "KextPaths": list, "NotifyUser": bool},
        awake=False,
        lost=True,
    ),
    "ShutDownDevice": Command(
        run=_shut_down, on=IOS | MAC, right=4, supervised=IOS, awake=False, lost=True
    ),
    "DeclarativeManagement": Command(
        run=_declarations, on=ALL, channels="DU", ipad="DU", takes={"Data": bytes}
    ),
    "EnableLostMode": Command(
        run=_enable_lost_mode,
        on=IOS,
        takes={"Message": str, "PhoneNumber": str, "Footnote": str},
        lost=True,
    ),
    "DisableLostMode": Command(run=_disable_lost_mode, on=IOS, supervised=IOS, lost=True),
    "PlayLostModeSound": Command(run=_play_lost_mode_sound, on=IOS, supervised=IOS, lost=True),
    "DeviceLocation": Command(run=_location, on=IOS, supervised=IOS, lost=True),
    "RequestMirroring": Command(
        run=_request_mirroring,
        on=IOS | MAC,
        takes={
            "DestinationName": str,
            "DestinationDeviceID": str,
            "ScanTime": int,
            "Password": str,
        },
        unlocked=True,
    ),
    "StopMirroring": Command(run=_stop_mirroring, on=IOS | MAC, supervised=IOS),
}
