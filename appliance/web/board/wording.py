"""What each command does, in words, and where in the list it stands."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.web.languages import text

GROUPS: Mapping[str, Mapping[str, str]] = {
    text("Ask the device"): {
        "DeviceInformation": text("Name, model, storage, battery and more"),
        "SecurityInfo": text("Passcode, encryption, firewall"),
        "ProfileList": text("Installed profiles"),
        "InstalledApplicationList": text("Installed apps"),
        "CertificateList": text("Installed certificates"),
        "AvailableOSUpdates": text("Software updates it could install"),
        "OSUpdateStatus": text("How far software updates have come"),
        "Restrictions": text("Restrictions in force"),
        "UserList": text("Users with an account on it"),
        "ProvisioningProfileList": text("Installed provisioning profiles"),
        "ContentCachingInformation": text("State of content caching"),
        "ActiveNSExtensions": text("Active app extensions of the user"),
        "NSExtensionMappings": text("Which extensions belong to which apps"),
        "DeviceLocation": text("Where it is, while in Lost Mode"),
    },
    text("Profiles and settings"): {
        "InstallProfile": text("Install a configuration profile"),
        "RemoveProfile": text("Remove a configuration profile"),
        "InstallProvisioningProfile": text("Install a provisioning profile"),
        "RemoveProvisioningProfile": text("Remove a provisioning profile"),
        "Settings": text("Name, wallpaper, Bluetooth, time zone and more"),
        "DeclarativeManagement": text("Turn on declarative management, or synchronize it"),
        "DeviceConfigured": text("Let Setup Assistant go on"),
        "UserConfigured": text("Let the user's Setup Assistant go on"),
    },
    text("Apps and media"): {
        "InstallApplication": text("Install an app"),
        "InstallEnterpriseApplication": text("Install a package on a Mac"),
        "RemoveApplication": text("Remove a managed app"),
        "ManagedApplicationList": text("Managed apps and their state"),
        "ManagedApplicationConfiguration": text("Configuration of managed apps"),
        "ManagedApplicationFeedback": text("Feedback of managed apps"),
        "ManagedApplicationAttributes": text("Attributes of managed apps"),
        "ValidateApplications": text("Check the provisioning profiles of apps"),
        "InstallMedia": text("Install a book"),
        "RemoveMedia": text("Remove a book"),
        "ManagedMediaList": text("Managed books"),
        "ApplyRedemptionCode": text("Pay for an app with a redemption code"),
        "InviteToProgram": text("Invite the user to a volume purchase program"),
    },
    text("Software updates"): {
        "ScheduleOSUpdate": text("Download or install a software update"),
        "ScheduleOSUpdateScan": text("Look for software updates"),
    },
    text("Restart and screen"): {
        "RestartDevice": text("Restart it"),
        "ShutDownDevice": text("Shut it down; only a person can start it again"),
        "RequestMirroring": text("Mirror its screen with AirPlay"),
        "StopMirroring": text("Stop AirPlay"),
        "EnableRemoteDesktop": text("Turn on Remote Desktop"),
        "DisableRemoteDesktop": text("Turn off Remote Desktop"),
        "RefreshCellularPlans": text("Look for an eSIM plan"),
        "LOMDeviceRequest": text("Start, restart or shut down a Mac nearby"),
        "LOMSetupRequest": text("Set up lights-out management"),
    },
    text("Lost or stolen"): {
        "EnableLostMode": text("Turn on Lost Mode"),
        "PlayLostModeSound": text("Play a sound in Lost Mode"),
        "DisableLostMode": text("Turn off Lost Mode"),
        "DeviceLock": text("Lock it now"),
        "EraseDevice": text("Erase everything on it"),
    },
    text("Passwords and accounts"): {
        "ClearPasscode": text("Remove the passcode"),
        "ClearRestrictionsPassword": text("Remove the Screen Time passcode"),
        "RequestUnlockToken": text("Ask for a new unlock token"),
        "ActivationLockBypassCode": text("Ask for the Activation Lock bypass code"),
        "ClearActivationLockBypassCode": text("Discard the Activation Lock bypass code"),
        "SetRecoveryLock": text("Set, change or clear the recovery lock"),
        "VerifyRecoveryLock": text("Check the recovery lock password"),
        "SetFirmwarePassword": text("Set, change or clear the firmware password"),
        "VerifyFirmwarePassword": text("Check the firmware password"),
        "RotateFileVaultKey": text("Replace the FileVault recovery key"),
        "SetAutoAdminPassword": text("Change the password of the managed administrator"),
        "AccountConfiguration": text("Accounts that Setup Assistant creates"),
        "UnlockUserAccount": text("Unlock an account after too many attempts"),
        "DeleteUser": text("Delete a user"),
        "LogOutUser": text("Log the user out"),
    },
}  # fmt: skip

_WORDS = {name: words for group in GROUPS.values() for name, words in group.items()}

# What is lost, and how it comes back, of those that need the serial number.
LOSSES: Mapping[str, str] = {
    "EraseDevice": text("Everything on the device is erased, and it leaves this server."),
    "DeviceLock": text("Whoever uses the device now is locked out."),
    "ClearPasscode": text("Whoever holds the device can open it without a passcode."),
    "SetRecoveryLock": text("Without this password nobody starts the Mac in recovery any more."),
    "InstallProfile": text("It may replace the profile by which the device is managed here."),
    "RemoveProfile": text("Without the management profile the device leaves this server."),
}  # fmt: skip


def words_of(request_type: str) -> str:
    """Return what a command does, untranslated, "" for one that is not of the catalogue."""
    return _WORDS.get(request_type, "")
