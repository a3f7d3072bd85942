"""Hardware and systems of late 2026 that are simulated; facts as devices report them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.simulator.state import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One kind of hardware."""

    name: str  # ModelName
    product: str  # ProductName
    part: str  # the part number without its region
    platform: Platform
    capacities: tuple[float, ...] = ()  # GB of 1024³ bytes
    battery: bool = True
    cellular: bool = False
    apple_silicon: bool = True
    short_serial: bool = True  # ten random characters; before 2021 twelve with a meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One release of an operating system."""

    version: str
    build: str


_MAC, _PHONE = Platform.MAC, Platform.IPHONE
_PAD, _TV = Platform.IPAD, Platform.APPLE_TV

MACBOOK_AIR: Final = Model(
    name="MacBook Air",
    product="Mac16,12",
    part="MW0W3",
    platform=_MAC,
    capacities=(228.27, 460.43),
)
MACBOOK_PRO: Final = Model(
    name="MacBook Pro",
    product="Mac16,1",
    part="MW2U3",
    platform=_MAC,
    capacities=(460.43, 926.35),
)
MAC_MINI: Final = Model(
    name="Mac mini",
    product="Mac16,10",
    part="MU9D3",
    platform=_MAC,
    capacities=(228.27, 460.43),
    battery=False,
)
IMAC: Final = Model(
    name="iMac",
    product="Mac16,3",
    part="MWUF3",
    platform=_MAC,
    capacities=(228.27, 460.43),
    battery=False,
)
INTEL_MACBOOK_PRO: Final = Model(
    name="MacBook Pro",
    product="MacBookPro16,1",
    part="MVVJ2",
    platform=_MAC,
    capacities=(465.63,),
    apple_silicon=False,
    short_serial=False,
)
IPHONE_17: Final = Model(
    name="iPhone 17",
    product="iPhone18,3",
    part="MG6K4",
    platform=_PHONE,
    capacities=(238.46, 476.93),
    cellular=True,
)
IPHONE_16E: Final = Model(
    name="iPhone 16e",
    product="iPhone17,5",
    part="MD1R4",
    platform=_PHONE,
    capacities=(119.21, 238.46),
    cellular=True,
)
IPHONE_11: Final = Model(
    name="iPhone 11",
    product="iPhone12,1",
    part="MWLT2",
    platform=_PHONE,
    capacities=(59.59, 119.21),
    cellular=True,
    short_serial=False,
)
IPAD: Final = Model(
    name="iPad (A16)",
    product="iPad15,7",
    part="MD3Y4",
    platform=_PAD,
    capacities=(119.21, 238.46),
)
IPAD_PRO: Final = Model(
    name="iPad Pro 11-inch (M5)",
    product="iPad17,1",
    part="ME2N4",
    platform=_PAD,
    capacities=(238.46, 476.93),
)
APPLE_TV: Final = Model(
    name="Apple TV 4K",
    product="AppleTV14,1",
    part="MN873",
    platform=_TV,
    capacities=(59.59, 119.21),
    battery=False,
)

MODELS: Final = {
    _MAC: (MACBOOK_AIR, MACBOOK_AIR, MACBOOK_PRO, MAC_MINI, IMAC, INTEL_MACBOOK_PRO),
    _PHONE: (IPHONE_17, IPHONE_17, IPHONE_16E, IPHONE_11),
    _PAD: (IPAD, IPAD, IPAD_PRO),
    _TV: (APPLE_TV,),
}

MACOS_27_1: Final = System(version="27.1", build="26B82")
MACOS_26_6: Final = System(version="26.6.1", build="25G72")
MACOS_15_7: Final = System(version="15.7.2", build="24G325")
IOS_27_1: Final = System(version="27.1", build="24B79")
IOS_26_6: Final = System(version="26.6.1", build="23G80")
TVOS_27_1: Final = System(version="27.1", build="24J85")
TVOS_26_6: Final = System(version="26.6", build="23M71")

# The newest first; a device that is behind is offered it.
SYSTEMS: Final = {
    _MAC: (MACOS_27_1, MACOS_26_6),
    _PHONE: (IOS_27_1, IOS_26_6),
    _PAD: (IOS_27_1, IOS_26_6),
    _TV: (TVOS_27_1, TVOS_26_6),
}


def newest(platform: Platform, *, apple_silicon: bool = True) -> System:
    """Return the newest system a device of this platform runs; Intel Macs end with macOS 26."""
    return SYSTEMS[platform][0] if apple_silicon else MACOS_26_6
