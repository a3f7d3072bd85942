"""Configuration and provisioning profiles: installing, listing, removing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from appliance.simulator import plist
from appliance.simulator.answers import certificates
from appliance.simulator.answers.command import (
    IOS,
    TV,
    After,
    Answer,
    Call,
    Command,
    acknowledged,
    check_right,
)
from appliance.simulator.answers.mobileconfig import (
    FILEVAULT,
    MDM_PAYLOAD,
    PASSCODE,
    read_profile,
    unsigned,
)
from appliance.simulator.errors import INSTALLATION, MDM, PROFILE, PROVISIONING, Refusal
from appliance.simulator.state import DeviceState, Payload, Profile, ProvisioningProfile

# Profiles with one of these are refused by an iPhone or iPad that is not supervised.
_SUPERVISED_ON_IOS = frozenset(
    {
        "com.apple.SetupAssistant.managed",
        "com.apple.app.lock",
        "com.apple.homescreenlayout",
        "com.apple.notificationsettings",
        "com.apple.profileRemovalPassword",
        "com.apple.proxy.http.global",
        "com.apple.shareddeviceconfiguration",
        "com.apple.tvremote",
    }
)


def adopt(state: DeviceState, profile: bytes, identity: bytes) -> None:
    """Record that `profile` enrolled this device and gave it the certificate `identity` (DER).

    Raises `Refusal` when the profile is malformed or holds no MDM payload.
    """
    read = read_profile(profile)
    management = read.payloads_of(MDM_PAYLOAD)
    if not management:
        raise Refusal(INSTALLATION, 4015, "The profile does not contain an MDM payload.")
    state.access_rights = management[0].content.get("AccessRights", 8191)
    state.profiles[read.identifier] = read
    state.management_profile = read.identifier
    state.identity_certificate = identity
    state.needs_enrollment = False


def unenroll(state: DeviceState) -> None:
    """Remove all that came through management, as a device does when its MDM profile goes."""
    state.profiles = {
        identifier: profile
        for identifier, profile in state.profiles.items()
        if not profile.managed and identifier != state.management_profile
    }
    for identifier, app in list((state.managed_apps or {}).items()):
        if app.flags & 1 and state.managed_apps:
            del state.managed_apps[identifier]
    state.user_profiles = None
    state.provisioning_profiles = ()
    state.management_profile = None
    state.identity_certificate = None
    state.needs_enrollment = True


def _install(call: Call) -> Answer:
    state = call.state
    profile = read_profile(bytes(call.keys["Payload"]))
    name = dict(profile.names).get("PayloadDisplayName", profile.identifier)
    try:
        if profile.payloads_of(MDM_PAYLOAD):
            return _renew(call, profile)
        _check_acceptable(state, profile)
        certificates.in_profile(profile)
    except Refusal as cause:
        text = f"The profile “{name}” could not be installed."
        raise Refusal(PROFILE, 1009, text, cause=cause) from cause
    _installed(call)[profile.identifier] = profile
    if state.mac and any(
        payload.content["Enable"] == "On" for payload in profile.payloads_of(FILEVAULT)
    ):
        state.mac.filevault_key = state.mac.filevault_key or certificates.recovery_key(
            state.serial_number, 0
        )
    return acknowledged()


def _renew(call: Call, profile: Profile) -> Answer:
    if profile.identifier != call.state.management_profile or call.user_channel:
        raise Refusal(MDM, 12001, "The device is managed already.")
    return acknowledged(After.RENEW)


def _check_acceptable(state: DeviceState, profile: Profile) -> None:
    if profile.payloads_of("com.apple.declarations"):
        raise Refusal(INSTALLATION, 4023, "The profile contains an unacceptable payload.")
    types = {payload.type for payload in profile.payloads}
    if state.is_ios and not state.supervised and types & _SUPERVISED_ON_IOS:
        raise Refusal(INSTALLATION, 4025, "The profile needs a supervised device.")
    if profile.identifier == state.management_profile:
        raise Refusal(INSTALLATION, 4015, "The replacement does not contain an MDM payload.")


def _remove(call: Call) -> Answer:
    identifier = call.text("Identifier")
    state = call.state
    if identifier == state.management_profile and not call.user_channel:
        unenroll(state)
        return acknowledged(After.UNENROLL)
    check_right(state, 2, "RemoveProfile")
    installed = _installed(call)
    if identifier not in installed:
        raise Refusal(MDM, 12075, f"The profile “{identifier}” is not installed.")
    if not installed[identifier].managed and not state.supervised:
        raise Refusal(MDM, 12013, f"The profile “{identifier}” is not managed by MDM.")
    del installed[identifier]
    return acknowledged()


def _list(call: Call) -> Answer:
    only_managed = call.keys.get("ManagedOnly", False)
    return acknowledged(
        ProfileList=[
            _listed(profile)
            for profile in _installed(call).values()
            if profile.managed or not only_managed
        ]
    )


def _listed(profile: Profile) -> dict[str, Any]:
    return {
        **dict(profile.names),
        "PayloadIdentifier": profile.identifier,
        "PayloadUUID": profile.uuid,
        "PayloadVersion": profile.version,
        "PayloadRemovalDisallowed": profile.removal_disallowed,
        "HasRemovalPasscode": profile.removal_passcode,
        "IsEncrypted": profile.encrypted,
        "IsManaged": profile.managed,
        "SignerCertificates": list(profile.signers),
        "PayloadContent": [_listed_payload(payload) for payload in profile.payloads],
    }


def _listed_payload(payload: Payload) -> dict[str, Any]:
    return {
        **dict(payload.names),
        "PayloadType": payload.type,
        "PayloadIdentifier": payload.identifier,
        "PayloadUUID": payload.uuid,
        "PayloadVersion": payload.version,
    }


def _installed(call: Call) -> dict[str, Profile]:
    state = call.state
    if not call.user_channel:
        return state.profiles
    if state.user_profiles is None:
        state.user_profiles = {}
    return state.user_profiles


def passcode_policy(state: DeviceState) -> dict[str, Any]:
    """Return the passcode policy that the profiles make together; later profiles win."""
    policy: dict[str, Any] = {}
    for profile in state.profiles.values():
        for payload in profile.payloads_of(PASSCODE):
            policy.update(payload.content)
    return policy


# --- Provisioning profiles ---


def _install_provisioning(call: Call) -> Answer:
    try:
        content, _ = unsigned(bytes(call.keys["ProvisioningProfile"]))
        profile = _provisioning(plist.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Refusal(PROVISIONING, 25000, "The provisioning profile is invalid.") from error
    call.state.provisioning_profiles = (*_others(call.state, profile.uuid), profile)
    return acknowledged()


def _provisioning(read: Mapping[str, Any]) -> ProvisioningProfile:
    expires = read.get("ExpirationDate")
    return ProvisioningProfile(
        name=str(read["Name"]),
        uuid=str(read["UUID"]),
        expires=expires if isinstance(expires, datetime) else None,
    )


def _remove_provisioning(call: Call) -> Answer:
    uuid = call.text("UUID")
    remaining = _others(call.state, uuid)
    if len(remaining) == len(call.state.provisioning_profiles):
        raise Refusal(MDM, 12014, f"The provisioning profile “{uuid}” is not managed by MDM.")
    call.state.provisioning_profiles = remaining
    return acknowledged()


def _list_provisioning(call: Call) -> Answer:
    return acknowledged(
        ProvisioningProfileList=[
            {"Name": one.name, "UUID": one.uuid}
            | ({"ExpiryDate": one.expires} if one.expires else {})
            for one in call.state.provisioning_profiles
        ]
    )


def _others(state: DeviceState, uuid: str) -> tuple[ProvisioningProfile, ...]:
    return tuple(one for one in state.provisioning_profiles if one.uuid != uuid)


COMMANDS: Final = {
    "ProfileList": Command(
        run=_list, right=1, channels="DU", ipad="DU", takes={"ManagedOnly": bool}, lost=True
    ),
    "InstallProfile": Command(
        run=_install,
        right=2,
        channels="DU",
        ipad="DU",
        needs={"Payload": bytes},
        unlocked=True,
        lost=True,
    ),
    "RemoveProfile": Command(
        run=_remove, channels="DU", ipad="DU", needs={"Identifier": str}, unlocked=True, lost=True
    ),
    "InstallProvisioningProfile": Command(
        run=_install_provisioning,
        right=128,
        right_on=IOS | TV,
        needs={"ProvisioningProfile": bytes},
        unlocked=True,
    ),
    "RemoveProvisioningProfile": Command(
        run=_remove_provisioning, right=128, right_on=IOS | TV, needs={"UUID": str}, unlocked=True
    ),
    "ProvisioningProfileList": Command(
        run=_list_provisioning, right=64, right_on=IOS | TV, takes={"ManagedOnly": bool}
    ),
}
