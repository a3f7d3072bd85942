"""Every command of Apple's gets a plausible answer from every kind of device."""

from __future__ import annotations

import plistlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from appliance.simulator.answers import COMMANDS, After, Answer, answer
from appliance.simulator.state import DeviceState, Platform
from tests.simulator import responses
from tests.simulator.commands import command
from tests.simulator.devices import NOW, device

STATUSES = {"Acknowledged", "Error", "CommandFormatError", "NotNow"}
NEEDED = {"ErrorDomain": "string", "ErrorCode": "integer", "LocalizedDescription": "string"}
CHAIN = [{**NEEDED, "USEnglishDescription": "string"}]
RESPONSES = responses.golden()


def check(request_type: str, reply: Answer) -> None:
    """Assert that a report is what a device may send."""
    assert reply.status in STATUSES
    body = dict(reply.body)
    plistlib.dumps(body)
    if reply.status == "Error":
        chain = body.pop("ErrorChain")
        assert chain
        assert list(responses.problems(chain, CHAIN)) == []
        assert all(entry.keys() >= NEEDED.keys() for entry in chain)
    shape = RESPONSES[request_type]
    if request_type == "DeviceInformation":  # Apple's prose has this key beside its table
        shape = {
            "QueryResponses": {**shape["QueryResponses"], "CurrentConsoleManagedUser": "string"}
        }
    assert list(responses.problems(body, shape)) == []
    assert reply.status == "Acknowledged" or reply.after is After.NOTHING


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize("platform", list(Platform))
@pytest.mark.parametrize("request_type", sorted(COMMANDS))
def test_every_command_is_answered_on_every_device(
    request_type: str, platform: Platform, supervised: bool
) -> None:
    for channel in (False, True):
        state = device(platform, supervised=supervised)
        check(request_type, answer(state, command(request_type), NOW, user_channel=channel))


ADE = {"ade": True, "awaiting_configuration": True}


@pytest.mark.parametrize("request_type", sorted(COMMANDS))
def test_every_command_succeeds_somewhere(request_type: str) -> None:
    """With what has to be there first, some device carries it out; so its keys are checked."""
    replies = []
    for state in (*(device(platform, **ADE) for platform in Platform), shared_ipad(), old_mac()):
        for channel in (False, True):
            prepare(state, request_type)
            reply = answer(state, command(request_type), NOW, user_channel=channel)
            check(request_type, reply)
            replies.append(reply)
    assert "Acknowledged" in {reply.status for reply in replies}, replies
    needed = {
        key
        for reply in replies
        for key in reply.body
        if reply.status == "Acknowledged" and request_type not in MAY_SAY_LESS
    }
    assert needed >= (RESPONSES[request_type].keys() if needed else set())


# Answers whose keys depend on what is asked or on how it went.
MAY_SAY_LESS = {"InstallApplication", "InstallMedia"}


def shared_ipad() -> DeviceState:
    state = device(Platform.IPAD, shared=True, **ADE)
    state.users = device(Platform.MAC).users
    return state


def old_mac() -> DeviceState:
    state = device(Platform.MAC)
    assert state.mac
    state.mac.apple_silicon = False
    return state


def prepare(state: DeviceState, request_type: str) -> None:
    """Do what has to be done before."""
    before: dict[str, tuple[dict[str, Any], ...]] = {
        name: ({"RequestType": "EnableLostMode", "Message": "Lost"},)
        for name in ("DisableLostMode", "PlayLostModeSound", "DeviceLocation")
    }
    before["RemoveProfile"] = (command("InstallProfile"),)
    before["RemoveProvisioningProfile"] = (command("InstallProvisioningProfile"),)
    app = {"RequestType": "InstallApplication", "Identifier": "a Identifier"}
    before |= dict.fromkeys(("RemoveApplication", "ApplyRedemptionCode"), (app,))
    for first in before.get(request_type, ()):
        answer(state, first, NOW)
    state.unlock_token = b"UnlockToken"
    state.provisioning_profiles = tuple(
        one.__class__(name=one.name, uuid="a UUID", expires=one.expires)
        for one in state.provisioning_profiles
    )
    for managed in (state.managed_apps or {}).values():
        managed.status = "NeedsRedemption"
    if state.mac:
        state.mac.filevault_key = "KEY"
        state.model_name = "Mac mini"
    for user in state.users:
        user.short_name, user.logged_in, user.created_by_management = "a UserName", False, True
        user.guid, user.admin = "a GUID", False


def test_an_unknown_request_type_is_12021() -> None:
    for platform in Platform:
        reply = answer(device(platform), {"RequestType": "MakeCoffee"}, NOW)
        assert reply.body["ErrorChain"][0]["ErrorCode"] == 12021
        assert reply.body["ErrorChain"][0]["ErrorDomain"] == "MCMDMErrorDomain"


@pytest.mark.parametrize("request_type", [None, 5, b"DeviceLock"])
def test_a_command_without_request_type_is_malformed(request_type: Any) -> None:
    reply = answer(device(Platform.MAC), {"RequestType": request_type}, NOW)
    assert reply.status == "CommandFormatError"


@pytest.mark.parametrize("request_type", [name for name, one in COMMANDS.items() if one.needs])
def test_missing_and_mistyped_keys_are_malformed(request_type: str) -> None:
    spec = COMMANDS[request_type]
    state = next(device(platform, **ADE) for platform in Platform if platform in spec.on)
    state.shared = spec.shared and state.is_ios
    channel = "D" not in (spec.channels if state.is_mac else spec.ipad) and (
        state.is_mac or state.shared
    )
    for name in spec.needs:
        missing = {key: value for key, value in command(request_type).items() if key != name}
        for bad in (missing, {**missing, name: 1.5}):
            reply = answer(state, bad, NOW, user_channel=channel)
            assert reply.status == "CommandFormatError"


TEXT = some.text(some.characters(exclude_categories=["Cc", "Cs"]), max_size=5)  # what XML can hold
PLIST = some.recursive(
    some.one_of(TEXT, some.integers(-9, 9), some.booleans(), some.binary(max_size=5)),
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)


def damaged(value: Any, data: some.DataObject) -> Any:
    """Return `value` with something in it replaced or gone."""
    if isinstance(value, dict) and value and data.draw(some.booleans()):
        key = data.draw(some.sampled_from(sorted(value)))
        if data.draw(some.integers(0, 3)) == 0:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: damaged(value[key], data)}
    if isinstance(value, list) and value and data.draw(some.integers(0, 7)):
        place = data.draw(some.integers(0, len(value) - 1))
        return [*value[:place], damaged(value[place], data), *value[place + 1 :]]
    return data.draw(PLIST)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=500, deadline=None)
@given(
    request_type=some.sampled_from(
        sorted(name for name, one in COMMANDS.items() if one.needs or one.takes)
    ),
    platform=some.sampled_from(list(Platform)),
    channel=some.booleans(),
    data=some.data(),
)
def test_damaged_commands_get_an_answer_and_do_no_harm(
    request_type: str, platform: Platform, channel: bool, data: some.DataObject
) -> None:
    keys = command(request_type)
    for name in data.draw(some.sets(some.sampled_from(sorted(keys)), min_size=1, max_size=3)):
        if name != "RequestType":
            keys[name] = damaged(keys[name], data)
    state = device(platform, **ADE)
    check(request_type, answer(state, keys, NOW, user_channel=channel))
    for later in ("DeviceInformation", "SecurityInfo"):
        check(later, answer(state, command(later), NOW))


ITEM = some.sampled_from(command("Settings")["Settings"])


@settings(deadline=None)
@given(state=some.sampled_from(list(Platform)), item=ITEM, data=some.data())
def test_damaged_settings_get_a_result_and_do_no_harm(
    state: Platform, item: dict[str, Any], data: some.DataObject
) -> None:
    one = device(state, **ADE)
    one.shared = one.is_ios
    entry = {**item, **{key: damaged(item[key], data) for key in item if key != "Item"}}
    check("Settings", answer(one, {"RequestType": "Settings", "Settings": [entry]}, NOW))
    for later in ("DeviceInformation", "SecurityInfo"):
        check(later, answer(one, command(later), NOW))


def test_the_same_command_on_the_same_device_gets_the_same_answer() -> None:
    for request_type in sorted(COMMANDS.keys() - {"RotateFileVaultKey"}):  # CMS has random keys
        first, second = (
            answer(device(Platform.IPHONE), command(request_type), NOW) for _ in range(2)
        )
        assert first == second


def test_time_zones_do_not_reach_the_property_list() -> None:
    zone = NOW + timedelta(hours=3)
    keys = {"RequestType": "DeviceInformation", "Queries": ["LastCloudBackupDate"]}
    reply = answer(device(Platform.IPHONE), keys, zone)
    assert reply.body["QueryResponses"]["LastCloudBackupDate"].tzinfo is None
