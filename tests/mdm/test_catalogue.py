"""The catalogue holds Apple's facts: all of them, and the same as Apple's own schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue import (
    catalogue,
    command_spec,
    device_information_queries,
    settings_items,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT.parent / "shared" / "apple-schema"


def test_there_are_66_request_types_of_which_22_have_no_keys() -> None:
    assert len(catalogue()) == 66
    assert sum(not spec.keys for spec in catalogue().values()) == 22
    assert all(name == spec.request_type for name, spec in catalogue().items())


def test_the_file_is_read_once() -> None:
    assert catalogue() is catalogue()


@pytest.mark.skipif(not SCHEMA.is_dir(), reason="Apple's schema is not beside this checkout")
def test_the_script_reproduces_the_file() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "catalogue.py"), "--check"]
    assert subprocess.run(script, check=False, timeout=120).returncode == 0


# (request type, platform): introduced, right, supervised, device channel, user channel
FACTS = {
    ("EraseDevice", "macOS"): ("10.7", 8, None, True, False),
    ("RestartDevice", "iOS"): ("10.3", 4, True, None, None),
    ("RestartDevice", "macOS"): ("10.13", 4, None, True, False),
    ("ActiveNSExtensions", "macOS"): ("10.13", 256, None, False, True),
    ("InstallProfile", "macOS"): ("10.7", 2, None, True, True),
    ("SetRecoveryLock", "macOS"): ("11.5", 4, None, True, False),
    ("DeviceInformation", "watchOS"): ("10.0", None, False, None, None),
    ("InstallProvisioningProfile", "macOS"): ("11.0", 0, None, True, False),
    ("InstallProvisioningProfile", "tvOS"): ("10.2", 128, False, None, None),
}


@pytest.mark.parametrize(("of", "facts"), FACTS.items(), ids=lambda value: str(value))
def test_conditions_are_those_of_the_schema(of: tuple[str, str], facts: tuple[object, ...]) -> None:
    request_type, platform = of
    stated = {str(name): value for name, value in catalogue()[request_type].platforms.items()}
    conditions = stated[platform]
    assert facts == (
        conditions.introduced,
        conditions.right,
        conditions.supervised,
        conditions.device_channel,
        conditions.user_channel,
    )


def test_platforms_that_lack_a_command_are_not_listed() -> None:
    assert set(catalogue()["SetRecoveryLock"].platforms) == {"macOS"}
    assert set(catalogue()["EnableLostMode"].platforms) == {"iOS"}
    assert set(catalogue()["DeviceLock"].platforms) == {"iOS", "macOS", "visionOS", "watchOS"}


def test_ade_shared_ipad_and_user_enrollment_are_stated() -> None:
    assert catalogue()["AccountConfiguration"].platforms["macOS"].requires_ade
    assert catalogue()["LogOutUser"].platforms["iOS"].shared_ipad == "required"
    assert catalogue()["ClearPasscode"].platforms["iOS"].shared_ipad == "forbidden"
    assert catalogue()["EraseDevice"].platforms["iOS"].user_enrollment == "forbidden"
    assert catalogue()["RequestUnlockToken"].platforms["iOS"].deprecated == "6.1.6"


def test_keys_carry_type_presence_default_and_allowed_values() -> None:
    erase = catalogue()["EraseDevice"].keys
    assert erase["PreserveDataPlan"].default is False
    assert erase["ObliterationBehavior"].allowed[-1] == "Always"
    assert erase["ReturnToService"].keys["Enabled"].required
    assert erase["ReturnToService"].keys["WiFiProfileData"].type == "data"
    assert erase["PIN"].platforms["iOS"] is None
    assert catalogue()["InstallProfile"].required_keys == ("Payload",)
    assert catalogue()["InstallApplication"].keys["Configuration"].open


def test_queries_know_their_answer_and_their_right() -> None:
    queries = device_information_queries()
    assert len(queries) == 87
    assert queries["BatteryLevel"].type == "real"
    assert queries["OSUpdateSettings"].type == "dictionary"
    serial_number = queries["SerialNumber"].platforms["iOS"]
    assert serial_number is not None
    assert serial_number.right == 16
    assert serial_number.user_enrollment == "forbidden"
    assert queries["QuotaSize"].platforms["macOS"] is None


def test_settings_items_have_their_own_keys() -> None:
    items = settings_items()
    assert len(items) == 19
    assert items["TimeZone"].keys["TimeZone"].required
    assert items["Wallpaper"].keys["Where"].allowed == (1, 2, 3)
    assert "Item" not in items["Wallpaper"].keys


def test_commands_that_cannot_be_taken_back_are_dangerous() -> None:
    dangerous = {name for name, spec in catalogue().items() if spec.dangerous}
    assert dangerous == {"EraseDevice", "DeviceLock", "ClearPasscode", "SetRecoveryLock"}


def test_an_unknown_request_type_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidRequest) as refused:
        command_spec("deviceinformation")
    assert refused.value.code == "command.unknown_request_type"
    assert refused.value.fix == "did you mean DeviceInformation?"
