"""A configuration profile as a device reads it: signed or not, checked, reduced to what acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.simulator import cms, plist
from appliance.simulator.answers.command import is_of_type
from appliance.simulator.errors import PAYLOAD, PROFILE, Refusal
from appliance.simulator.failures import MessageRefused
from appliance.simulator.state import Payload, Profile

CERTIFICATES = (
    "com.apple.security.root",
    "com.apple.security.pkcs1",
    "com.apple.security.pem",
    "com.apple.security.pkcs12",
)
RESTRICTIONS = ("com.apple.applicationaccess", "com.apple.applicationaccess.new")
PASSCODE = "com.apple.mobiledevice.passwordpolicy"
FILEVAULT = "com.apple.MCX.FileVault2"
FILEVAULT_ESCROW = "com.apple.security.FDERecoveryKeyEscrow"
FIREWALL = "com.apple.security.firewall"
MDM_PAYLOAD = "com.apple.mdm"
REMOVAL_PASSWORD = "com.apple.profileRemovalPassword"  # noqa: S105 (a payload type)

_ACTING = {*CERTIFICATES, *RESTRICTIONS, PASSCODE, FILEVAULT, FILEVAULT_ESCROW, FIREWALL}
_ACTING |= {MDM_PAYLOAD, REMOVAL_PASSWORD}
_NAMES = ("PayloadDisplayName", "PayloadDescription", "PayloadOrganization")
# What a payload of this type must have: the device installs nothing without it.
_REQUIRED: Mapping[str, Mapping[str, type]] = {
    **{kind: {"PayloadContent": bytes} for kind in CERTIFICATES},
    "com.apple.webClip.managed": {"URL": str, "Label": str},
    "com.apple.security.scep": {"PayloadContent": dict},
    FILEVAULT: {"Enable": str},
    FILEVAULT_ESCROW: {"Location": str, "EncryptCertPayloadUUID": str},
    FIREWALL: {"EnableFirewall": bool},
    MDM_PAYLOAD: {"IdentityCertificateUUID": str, "Topic": str, "ServerURL": str},
}
# What it may have and the device acts on.
_OPTIONAL: Mapping[str, Mapping[str, type]] = {
    **{kind: {"allowAppInstallation": bool} for kind in RESTRICTIONS},
    "com.apple.security.pkcs12": {"Password": str},
    PASSCODE: {"forcePIN": bool, "maxGracePeriod": int, "maxInactivity": int},
    FILEVAULT_ESCROW: {"DeviceKey": str},
    FIREWALL: {
        "BlockAllIncoming": bool,
        "EnableStealthMode": bool,
        "EnableLogging": bool,
        "LoggingOption": str,
    },
    MDM_PAYLOAD: {"AccessRights": int},
}


def read_profile(data: bytes) -> Profile:
    """Return the profile in `data`: XML or binary plist, or that signed as CMS (DER).

    Raises `Refusal` with the chain a device gives. A signature is taken apart but not verified.
    """
    try:
        content, signers = unsigned(data)
        top = plist.loads(content)
    except ValueError as error:
        cause = Refusal(PROFILE, 1000, "The profile is malformed.")
        raise _failed("the profile", cause) from error
    if not isinstance(top, dict):
        raise _failed("the profile", Refusal(PROFILE, 1000, "The profile is malformed."))
    name = top.get("PayloadDisplayName") or top.get("PayloadIdentifier") or "the profile"
    try:
        return _profile(top, signers)
    except Refusal as cause:
        raise _failed(str(name), cause) from cause


def _failed(name: str, cause: Refusal) -> Refusal:
    return Refusal(PROFILE, 1009, f"The profile “{name}” could not be installed.", cause=cause)


def _profile(top: Mapping[str, Any], signers: tuple[bytes, ...]) -> Profile:
    if top.get("IsEncrypted") or "EncryptedPayloadContent" in top:
        raise Refusal(PROFILE, 1006, "The profile could not be decrypted.")
    if top.get("PayloadType") != "Configuration":
        raise Refusal(PROFILE, 1010, "The field “PayloadType” contains an unsupported value.")
    identifier = _field(top, "PayloadIdentifier", str, PROFILE, 1002)
    uuid = _field(top, "PayloadUUID", str, PROFILE, 1002)
    if _field(top, "PayloadVersion", int, PROFILE, 1002) != 1:
        raise Refusal(PROFILE, 1001, "The profile has an unsupported version.")
    content = top.get("PayloadContent", [])
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise Refusal(PROFILE, 1003, "The field “PayloadContent” is of the wrong type.")
    payloads = tuple(_payload(item) for item in content)
    _check_unique("PayloadUUID", [payload.uuid for payload in payloads], 1007)
    _check_unique("PayloadIdentifier", [payload.identifier for payload in payloads], 1008)
    removal = any(payload.type == REMOVAL_PASSWORD for payload in payloads)
    return Profile(
        identifier=identifier,
        uuid=uuid,
        names=_names(top),
        payloads=payloads,
        signers=signers,
        removal_disallowed=top.get("PayloadRemovalDisallowed") is True,
        removal_passcode=removal or top.get("HasRemovalPasscode") is True,
    )


def _payload(item: Mapping[str, Any]) -> Payload:
    kind = _field(item, "PayloadType", str, PAYLOAD, 2002)
    for key, wanted in _REQUIRED.get(kind, {}).items():
        _field(item, key, wanted, PAYLOAD, 2002)
    for key, wanted in _OPTIONAL.get(kind, {}).items():
        if key in item:
            _field(item, key, wanted, PAYLOAD, 2002)
    content = {key: value for key, value in item.items() if not key.startswith("Payload")}
    if "PayloadContent" in item:
        content["PayloadContent"] = item["PayloadContent"]
    return Payload(
        type=kind,
        identifier=_field(item, "PayloadIdentifier", str, PAYLOAD, 2002),
        uuid=_field(item, "PayloadUUID", str, PAYLOAD, 2002),
        version=_field(item, "PayloadVersion", int, PAYLOAD, 2002),
        names=_names(item),
        content=content if kind in _ACTING else {},
    )


def _field(values: Mapping[str, Any], key: str, kind: type, domain: str, missing: int) -> Any:
    # In both domains "wrong type" is the code after "missing".
    if key not in values:
        raise Refusal(domain, missing, f"The required field “{key}” is missing.")
    if not is_of_type(values[key], kind):
        raise Refusal(domain, missing + 1, f"The field “{key}” is of the wrong type.")
    return values[key]


def _names(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key, values[key]) for key in _NAMES if isinstance(values.get(key), str))


def _check_unique(name: str, values: list[str], code: int) -> None:
    if len(set(values)) != len(values):
        raise Refusal(PROFILE, code, f"The profile contains payloads with the same {name}.")


def unsigned(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the content of CMS SignedData and its certificates (DER); anything else as it is.

    Raises ValueError when it is neither. The signature is not verified.
    """
    if not data.startswith(b"\x30"):
        return data, ()
    try:
        return cms.unverified_content(data)
    except MessageRefused as error:
        raise ValueError(str(error)) from error
