"""SecurityInfo and what changes it: passcodes, FileVault, recovery lock, firmware password."""

from __future__ import annotations

from typing import Any, Final

from appliance.simulator.answers.certificates import recovery_key, sealed
from appliance.simulator.answers.command import IOS, MAC, Answer, Call, Command, acknowledged
from appliance.simulator.answers.mobileconfig import FILEVAULT_ESCROW, FIREWALL
from appliance.simulator.answers.profiles import passcode_policy
from appliance.simulator.answers.queries import setting, stable
from appliance.simulator.errors import MDM, PASSCODE, Malformed, Refusal
from appliance.simulator.state import DeviceState, Mac


def _security_info(call: Call) -> Answer:
    state = call.state
    info: dict[str, Any] = {
        "ManagementStatus": {
            "EnrolledViaDEP": state.ade,
            "UserApprovedEnrollment": True,
            "IsUserEnrollment": False,
            "IsActivationLockManageable": state.supervised,
        }
    }
    if state.mac is None:
        info |= _passcode(state)
    elif call.user_channel:
        info = {}
    else:
        info |= _of_mac(state, state.mac)
    return acknowledged(SecurityInfo=info)


def _passcode(state: DeviceState) -> dict[str, Any]:
    policy = passcode_policy(state)
    grace = int(policy.get("maxGracePeriod", 0)) * 60
    complies = state.passcode or not policy.get("forcePIN", False)
    info: dict[str, Any] = {
        "HardwareEncryptionCaps": 3,
        "PasscodePresent": state.passcode,
        "PasscodeCompliant": complies,
        "PasscodeCompliantWithProfiles": complies,
        "PasscodeLockGracePeriod": setting(state, "PasscodeLockGracePeriod", grace),
        "PasscodeLockGracePeriodEnforced": grace,
    }
    if state.is_ios:
        info["AutoLockTime"] = int(policy.get("maxInactivity", 2)) * 60
    return info


def _of_mac(state: DeviceState, mac: Mac) -> dict[str, Any]:
    info: dict[str, Any] = {
        "FDE_Enabled": mac.filevault_key is not None or mac.institutional_key,
        "FDE_HasPersonalRecoveryKey": mac.filevault_key is not None,
        "FDE_HasInstitutionalRecoveryKey": mac.institutional_key,
        "SystemIntegrityProtectionEnabled": True,
        "AuthenticatedRootVolumeEnabled": True,
        "RemoteDesktopEnabled": mac.remote_desktop,
        "FirewallSettings": _firewall(state, mac),
        "SecureBoot": {"SecureBootLevel": "full", "ExternalBootLevel": "disallowed"},
        "BootstrapTokenAllowedForAuthentication": "allowed" if state.ade else "disallowed",
        "BootstrapTokenRequiredForSoftwareUpdate": mac.apple_silicon,
        "BootstrapTokenRequiredForKernelExtensionApproval": mac.apple_silicon,
        **_escrowed_key(state, mac),
    }
    if mac.apple_silicon:
        return info | {"IsRecoveryLockEnabled": mac.recovery_lock is not None}
    info["FirmwarePasswordStatus"] = {
        "PasswordExists": mac.firmware_password is not None,
        "ChangePending": mac.firmware_change_pending,
        "AllowOroms": mac.firmware_oroms,
    }
    return info


def _firewall(state: DeviceState, mac: Mac) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for profile in state.profiles.values():
        for payload in profile.payloads_of(FIREWALL):
            rules.update(payload.content)
    return {
        "FirewallEnabled": rules.get("EnableFirewall", mac.firewall),
        "BlockAllIncoming": rules.get("BlockAllIncoming", False),
        "StealthMode": rules.get("EnableStealthMode", False),
        "LoggingEnabled": rules.get("EnableLogging", False),
        "LoggingOption": rules.get("LoggingOption", "throttled"),
        "Applications": [],
    }


def _escrowed_key(state: DeviceState, mac: Mac) -> dict[str, Any]:
    for profile in state.profiles.values():
        for escrow in profile.payloads_of(FILEVAULT_ESCROW):
            wanted = escrow.content["EncryptCertPayloadUUID"]
            for payload in profile.payloads_of("com.apple.security.pkcs1"):
                if payload.uuid == wanted and mac.filevault_key:
                    key = sealed(mac.filevault_key, payload.content["PayloadContent"])
                    return (
                        {
                            "FDE_PersonalRecoveryKeyCMS": key,
                            "FDE_PersonalRecoveryKeyDeviceKey": escrow.content.get(
                                "DeviceKey", state.serial_number
                            ),
                        }
                        if key
                        else {}
                    )
    return {}


def _clear_passcode(call: Call) -> Answer:
    state = call.state
    if state.unlock_token is None or bytes(call.keys["UnlockToken"]) != state.unlock_token:
        raise Refusal(PASSCODE, 5013, "The passcode could not be cleared.")
    state.passcode = False
    state.locked = False
    return acknowledged()


def _request_unlock_token(call: Call) -> Answer:
    if call.state.unlock_token is None:
        raise Refusal(MDM, 12018, "The escrow keybag could not be copied.")
    return acknowledged(UnlockToken=call.state.unlock_token)


def _clear_restrictions_password(call: Call) -> Answer:
    call.state.restrictions_password = False
    return acknowledged()


def _bypass_code(call: Call) -> Answer:
    if call.state.bypass_code is None:
        raise Refusal(MDM, 12010, "There is no Activation Lock bypass code.")
    return acknowledged(ActivationLockBypassCode=call.state.bypass_code)


def _clear_bypass_code(call: Call) -> Answer:
    call.state.bypass_code = None
    return acknowledged()


def _rotate_filevault_key(call: Call) -> Answer:
    mac, kind = call.mac, call.text("KeyType")
    if kind not in ("personal", "institutional"):
        raise Malformed("KeyType is personal or institutional")
    if kind == "institutional":
        mac.institutional_key = mac.institutional_key or "NewCertificate" in call.keys
        return acknowledged()
    if mac.filevault_key is None:
        raise Refusal("FDEErrorDomain", -69594, "FileVault is not enabled.")
    # Either the recovery key or a user's password unlocks; a user's password is not simulated.
    password = call.keys["FileVaultUnlock"].get("Password")
    if not isinstance(password, str) or not password:
        raise Refusal("FDEErrorDomain", -69595, "The password is incorrect.")
    key = recovery_key(call.state.serial_number, _generation(call.state, mac.filevault_key) + 1)
    certificate = call.keys.get("ReplyEncryptionCertificate")
    reply = sealed(key, bytes(certificate)) if certificate else None
    if certificate and reply is None:
        raise Refusal(MDM, 12008, "The reply encryption certificate cannot be used.")
    mac.filevault_key = key
    return (
        acknowledged(RotateResult={"EncryptedNewRecoveryKey": reply}) if reply else acknowledged()
    )


def _generation(state: DeviceState, key: str) -> int:
    # Kept nowhere: counting up from the first key finds it, and few keys are ever rotated.
    return next((n for n in range(1000) if recovery_key(state.serial_number, n) == key), 0)


def _set_recovery_lock(call: Call) -> Answer:
    mac = _apple_silicon(call)
    if mac.recovery_lock is not None and call.text("CurrentPassword") != mac.recovery_lock:
        raise Refusal("ROSLockoutServiceDaemonErrorDomain", 8, "The current password is wrong.")
    mac.recovery_lock = call.text("NewPassword") or None
    return acknowledged()


def _verify_recovery_lock(call: Call) -> Answer:
    return acknowledged(
        PasswordVerified=_apple_silicon(call).recovery_lock == call.text("Password")
    )


def _apple_silicon(call: Call) -> Mac:
    if not call.mac.apple_silicon:
        raise Refusal(MDM, 12021, "Recovery Lock needs a Mac with Apple silicon.")
    return call.mac


def _set_firmware_password(call: Call) -> Answer:
    mac = _intel(call)
    if mac.firmware_password is not None and call.text("CurrentPassword") != mac.firmware_password:
        return acknowledged(SetFirmwarePassword={"PasswordChanged": False})
    mac.firmware_password = call.text("NewPassword") or None
    mac.firmware_oroms = call.keys.get("AllowOroms", False)
    mac.firmware_change_pending = True
    return acknowledged(SetFirmwarePassword={"PasswordChanged": True})


def _verify_firmware_password(call: Call) -> Answer:
    verified = _intel(call).firmware_password == call.text("Password")
    return acknowledged(VerifyFirmwarePassword={"PasswordVerified": verified})


def _intel(call: Call) -> Mac:
    if call.mac.apple_silicon:
        raise Refusal(MDM, 12021, "A firmware password needs an Intel-based Mac.")
    return call.mac


def unlock_token(state: DeviceState) -> bytes:
    """Return the escrow keybag an iPhone or iPad sends in its TokenUpdate, always the same."""
    return bytes.fromhex(stable(state, "unlock token", 64))


COMMANDS: Final = {
    "SecurityInfo": Command(run=_security_info, right=1024, channels="DU"),
    "ClearPasscode": Command(
        run=_clear_passcode, on=IOS, right=4, needs={"UnlockToken": bytes}, ipad="", lost=True
    ),
    "RequestUnlockToken": Command(run=_request_unlock_token, on=IOS, supervised=IOS, ipad=""),
    "ClearRestrictionsPassword": Command(
        run=_clear_restrictions_password, on=IOS, supervised=IOS, ipad=""
    ),
    "ActivationLockBypassCode": Command(
        run=_bypass_code, on=IOS | MAC, supervised=IOS | MAC, ipad="", awake=False
    ),
    "ClearActivationLockBypassCode": Command(
        run=_clear_bypass_code, on=IOS | MAC, supervised=IOS | MAC, ipad="", awake=False
    ),
    "RotateFileVaultKey": Command(
        run=_rotate_filevault_key,
        on=MAC,
        right=4,
        needs={"KeyType": str, "FileVaultUnlock": dict},
        takes={"NewCertificate": bytes, "ReplyEncryptionCertificate": bytes},
    ),
    "SetRecoveryLock": Command(
        run=_set_recovery_lock,
        on=MAC,
        right=4,
        needs={"NewPassword": str},
        takes={"CurrentPassword": str},
    ),
    "VerifyRecoveryLock": Command(
        run=_verify_recovery_lock, on=MAC, right=4, needs={"Password": str}
    ),
    "SetFirmwarePassword": Command(
        run=_set_firmware_password,
        on=MAC,
        right=4,
        needs={"NewPassword": str},
        takes={"CurrentPassword": str, "AllowOroms": bool},
    ),
    "VerifyFirmwarePassword": Command(
        run=_verify_firmware_password, on=MAC, needs={"Password": str}
    ),
}
