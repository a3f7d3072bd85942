"""What may be sent to a device, as data: the 66 request types of Apple's schema."""

from __future__ import annotations

from appliance.mdm.catalogue.parameters import COMMON_KEYS, build_command
from appliance.mdm.catalogue.spec import (
    CommandSpec,
    KeySpec,
    PlatformSupport,
    catalogue,
    command_spec,
    device_information_queries,
    settings_items,
)
from appliance.mdm.catalogue.support import Support, check_support, lacking

__all__ = [
    "COMMON_KEYS",
    "CommandSpec",
    "KeySpec",
    "PlatformSupport",
    "Support",
    "build_command",
    "catalogue",
    "check_support",
    "command_spec",
    "device_information_queries",
    "lacking",
    "settings_items",
]
