"""The devices know Apple's commands as Apple's schema has them."""

from __future__ import annotations

import pytest

from appliance.mdm.catalogue import PlatformSupport, catalogue, settings_items
from appliance.mdm.device import Platform as Name
from appliance.simulator.answers import COMMANDS
from appliance.simulator.answers.command import ALL, IOS, MAC, TV, is_of_type
from appliance.simulator.answers.queries import QUERIES
from appliance.simulator.answers.settings import ITEMS
from appliance.simulator.state import Platform
from tests.simulator import responses

PLATFORMS: dict[Name, frozenset[Platform]] = {"iOS": IOS, "macOS": MAC, "tvOS": TV}
SAMPLES = {
    str: "x",
    int: 1,
    bool: True,
    bytes: b"x",
    list: ["x"],
    dict: {"x": 1},
}
TYPES = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "data": bytes,
    "array": list,
    "dictionary": dict,
}
# Only ADE asks for it there, which the answer itself checks.
BY_ADE = {"AccountConfiguration", "DeviceConfigured", "SetAutoAdminPassword", "UserConfigured"}
# Apple's schema has no device channel for it, so only a Shared iPad can be told.
IN_FACT_SHARED = {"UserConfigured"}
# Any enrolled device lets its management go.
WITHOUT_RIGHT = {"RemoveProfile"}
# Refused with an error of its own.
LOST_MODE = {"EnableLostMode"}


def test_all_request_types_are_known() -> None:
    assert set(COMMANDS) == set(catalogue())


@pytest.mark.parametrize("request_type", sorted(COMMANDS))
def test_a_command_is_where_apple_has_it(request_type: str) -> None:
    command, spec = COMMANDS[request_type], catalogue()[request_type]
    for name, platforms in PLATFORMS.items():
        support = spec.platforms.get(name)
        assert bool(platforms & command.on) == (support is not None)
        assert platforms <= command.on or not platforms & command.on
        if support is None:
            continue
        right = command.right if platforms <= command.right_on else 0
        assert right == (support.right or 0) or request_type in WITHOUT_RIGHT
        if request_type not in BY_ADE | LOST_MODE:
            assert platforms <= command.supervised or not support.supervised
            assert support.supervised or not platforms & command.supervised
        if name == "macOS":
            assert ("D" in command.channels) == (support.device_channel is not False)
            assert ("U" in command.channels) == bool(support.user_channel)
        if name == "iOS":
            wanted = support.shared_ipad == "required" or request_type in IN_FACT_SHARED
            assert command.shared == wanted
            if support.shared_ipad == "forbidden":
                assert command.ipad == ""
            else:
                assert ("D" in command.ipad) == (support.shared_ipad_device_channel is not False)
                assert ("U" in command.ipad) == bool(support.shared_ipad_user_channel)


@pytest.mark.parametrize("request_type", sorted(COMMANDS))
def test_a_command_needs_the_keys_that_apple_requires(request_type: str) -> None:
    command, spec = COMMANDS[request_type], catalogue()[request_type]
    assert set(command.needs) == set(spec.required_keys)
    for name, kind in {**command.needs, **command.takes}.items():
        assert kind is TYPES[spec.keys[name].type]
        assert is_of_type(SAMPLES[kind], kind)


def test_settings_are_where_apple_has_them() -> None:
    assert set(ITEMS) == set(settings_items())
    for name, spec in settings_items().items():
        setting = ITEMS[name]
        assert set(setting.needs) == {key for key, value in spec.keys.items() if value.required}
        for platform, platforms in PLATFORMS.items():
            support = spec.platforms.get(platform, PlatformSupport())
            assert bool(platforms & setting.on) == (support is not None)
            if support is not None:
                assert bool(platforms & setting.supervised) == bool(support.supervised)


def test_every_query_is_apples_and_has_its_type() -> None:
    known = responses.golden()["DeviceInformation"]["QueryResponses"]
    # A simulated device has no Secure Enclave that Apple would attest; tokens are per channel.
    assert set(known) - set(QUERIES) == {"DevicePropertiesAttestation", "PushToken"}
    assert set(QUERIES) <= set(known)
    assert all(query.on <= ALL for query in QUERIES.values())


@pytest.mark.skipif(not responses.SCHEMA.is_dir(), reason="Apple's schema is not beside this")
def test_the_golden_response_keys_are_those_of_the_schema() -> None:
    assert responses.golden() == responses.derived()
