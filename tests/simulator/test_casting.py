"""The cast of simulated devices: always the same, all different, small."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from appliance.mdm.device import platform_of
from appliance.simulator.casting import make_state
from appliance.simulator.state import Platform

MANY = 2000


def test_the_same_seed_gives_the_same_device() -> None:
    assert make_state(7, 3) == make_state(7, 3)
    assert make_state(7, 3, "demo") == make_state(7, 3, "demo")


def test_another_seed_or_index_gives_another_device() -> None:
    states = [make_state(seed, index) for seed in (1, 2) for index in range(MANY)]
    for identity in ("udid", "serial_number", "wifi_mac"):
        assert len({getattr(state, identity) for state in states}) == len(states)
    numbers = [state.imei for state in states if state.imei]
    assert len(set(numbers)) == len(numbers) > 100


def test_identities_look_like_apples() -> None:
    for index in range(MANY):
        state = make_state(1, index)
        assert re.fullmatch(r"[A-Z][0-9A-Z]{9}([0-9A-Z]{2})?", state.serial_number)
        if state.is_mac:
            assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", state.udid)
        else:
            assert re.fullmatch(r"[0-9]{8}-[0-9A-F]{16}", state.udid)
        if state.imei:
            assert len(state.imei) == 15
            assert luhn_holds(state.imei)


def test_the_server_knows_the_platform_of_every_device() -> None:
    kinds = {Platform.MAC: "macOS", Platform.APPLE_TV: "tvOS"}
    for index in range(200):
        state = make_state(1, index)
        assert platform_of(state.product_name) == kinds.get(state.platform, "iOS")


def test_the_demo_has_its_eight_first() -> None:
    eight = [make_state(1, index, "demo") for index in range(8)]
    assert sum(state.is_mac for state in eight) == 4
    assert sum(state.is_ios for state in eight) == 3
    assert sum(state.platform is Platform.APPLE_TV for state in eight) == 1
    assert [state.device_name for state in eight if state.silent] == ["lab-mini-7"]
    assert [state.device_name for state in eight if state.locked] == ["Kenji's iPhone"]
    assert [state.battery for state in eight if state.battery == 0.09] == [0.09]
    assert sum(state.os_version.startswith("15.") for state in eight) == 1
    assert len({state.device_name for state in eight}) == 8


def test_after_the_eight_the_demo_goes_on_as_an_office() -> None:
    assert make_state(1, 8, "demo") == make_state(1, 8, "office")


def test_an_unknown_cast_is_refused() -> None:
    with pytest.raises(ValueError, match="circus"):
        make_state(1, 0, "circus")


def test_ten_thousand_devices_fit_in_memory() -> None:
    make_state(1, 0)
    tracemalloc.start()
    states = [make_state(1, index) for index in range(10_000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(states) < 5_000


def luhn_holds(digits: str) -> bool:
    doubled = [int(one) * (2 if place % 2 else 1) for place, one in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
