"""Why a device refuses, and what to do: Apple's errors that people meet. Data and a look-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.web.languages import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """In words, untranslated; `fix` is empty where the next error of the chain says more."""

    why: str
    fix: str = ""


def cause_of(domain: object, code: object) -> Cause | None:
    """Return what is known of an error; both come from a device, and may be anything."""
    domain = str(domain).removeprefix("D")  # newer systems say DMCProfileErrorDomain
    known = _CAUSES.get(domain, {})
    return known.get(str(code)) or known.get(_ANY)


def _cause(why: str, fix: str = "") -> Cause:
    return Cause(why=why, fix=fix)


_ANY = "*"  # any other code of the domain
_CAUSES: Mapping[str, Mapping[str, Cause]] = {
    "MCMDMErrorDomain": {
        "12001": _cause(
            text("The device has a management profile already."),
            text("Remove the old one first, or renew it with the same identifier."),
        ),
        "12007": _cause(
            text("The management profile does not give this server the right to do it."),
            text(
                "Enroll the device anew with a profile of this server, which asks for all rights."
            ),
        ),
        "12008": _cause(
            text("A parameter of the command is missing or does not fit."),
            text("Compare what was sent with what the form allows."),
        ),
        "12010": _cause(
            text("The device is not in the state that this command needs."),
            text(
                "Some commands work only during setup, or when what they ask for exists. Ask "
                "for the information first."
            ),
        ),
        "12013": _cause(
            text("The profile was not installed by management."),
            text("Ask the user to remove it in Settings."),
        ),
        "12014": _cause(
            text("This provisioning profile was not installed by management, or is not there."),
            text("Look at the installed provisioning profiles and use their UUID."),
        ),
        "12018": _cause(
            text("The device gave no unlock token."),
            text("Set a passcode on the device, then ask again."),
        ),
        "12021": _cause(
            text("This device, or the version of its system, does not know the command."),
            text("The list of commands shows what this device can do. An update may bring more."),
        ),
        "12023": _cause(
            text("The app was not found in the App Store."),
            text("Check the ID, and the country of the store."),
        ),
        "12024": _cause(
            text("The manifest could not be checked."),
            text("See that the device reaches its address and trusts the server."),
        ),
        "12025": _cause(
            text("The app is installed already, or on its way."),
            text("To manage an app that the user installed, set ChangeManagementState to Managed."),
        ),
        "12026": _cause(
            text("There is no license for the app."),
            text("Assign a license to the device or its user, then send the command again."),
        ),
        "12028": _cause(
            text("The app does not wait for a redemption code."),
            text("Install the app first. It asks for a code if it needs one."),
        ),
        "12029": _cause(
            text("The app is not managed, so nothing can be done to it."),
            text("Install it by management, or take it over, first."),
        ),
        "12030": _cause(
            text("The address is not valid."),
            text("Write it out in full, with https://."),
        ),
        "12031": _cause(
            text("A restriction forbids installing apps."),
            text("Remove the profile that sets allowAppInstallation to false."),
        ),
        "12033": _cause(
            text("The manifest is not as Apple describes it."),
            text("It needs items with metadata and a bundle-identifier."),
        ),
        "12034": _cause(
            text("The address is not safe."),
            text("Use an address that begins with https://."),
        ),
        "12040": _cause(
            text("Nobody is signed in to the App Store."),
            text("Ask the user to sign in, or assign the license to the device."),
        ),
        "12044": _cause(
            text("The device does not take media of this kind."),
            text("Only books can be installed."),
        ),
        "12047": _cause(
            text("No license of volume purchase is assigned."),
            text("Assign one in Apple Business or School Manager, then send the command again."),
        ),
        "12048": _cause(
            text("This update is not offered to the device."),
            text("Ask for the available updates and use one of their product keys or versions."),
        ),
        "12060": _cause(
            text("There is too little space to install it."),
            text("Free some space on the device."),
        ),
        "12061": _cause(
            text("The battery is too low to install it."),
            text("Connect the device to power."),
        ),
        "12063": _cause(
            text("The user refused it."),
            text("Tell the user what it is for, and send it again."),
        ),
        "12064": _cause(
            text("There is no license for the app."),
            text("Assign a license to the device or its user, then send the command again."),
        ),
        "12066": _cause(
            text("Lost Mode could not be turned on."),
            text("It needs a supervised device that is set up."),
        ),
        "12067": _cause(
            text("The device is not in Lost Mode."),
            text("Turn on Lost Mode first."),
        ),
        "12068": _cause(
            text("The device does not know where it is."),
            text("Try again when it has a network and sees the sky."),
        ),
        "12070": _cause(
            text("The device could not list its users."),
            text("Try again later."),
        ),
        "12071": _cause(
            text("There is no such user on the device."),
            text("Ask for the list of users and use the name that stands there."),
        ),
        "12072": _cause(
            text("The user is logged in."),
            text("Log the user out first."),
        ),
        "12073": _cause(
            text("The user has data that is not in the cloud yet."),
            text("Wait until it is, or set ForceDeletion and lose it."),
        ),
        "12074": _cause(
            text("This user cannot be deleted."),
            text("The last administrator stays. Make another one first."),
        ),
        "12075": _cause(
            text("There is no such profile on the device."),
            text("Ask for the installed profiles and use the identifier that stands there."),
        ),
        "12077": _cause(
            text("A user is logged in."),
            text("Log the user out first."),
        ),
        "12078": _cause(
            text("The command is not taken in Lost Mode."),
            text("Turn off Lost Mode first."),
        ),
        "12081": _cause(
            text("The device does not share a connection."),
            text("Connect it to a Mac that shares its own."),
        ),
    },
    "MCProfileErrorDomain": {
        "1009": _cause(
            text("The profile could not be installed."),
        ),
        "1004": _cause(
            text("The signature of the profile is not valid."),
            text("Sign it anew, or send it unsigned."),
        ),
        "1006": _cause(
            text("The device could not decrypt the profile."),
            text("Encrypt it for the identity that this device has now."),
        ),
        _ANY: _cause(
            text("The profile is not as Apple describes it."),
            text(
                "Check its keys: each payload needs PayloadType, PayloadIdentifier, PayloadUUID "
                "and PayloadVersion, each once."
            ),
        ),
    },
    "MCPayloadErrorDomain": {
        _ANY: _cause(
            text("A payload of the profile is not as Apple describes it."),
            text("The text of the error names the key. Correct it and send the profile again."),
        ),
    },
    "MCInstallationErrorDomain": {
        "4001": _cause(
            text("The profile could not be installed."),
        ),
        "4005": _cause(
            text("The passcode is weaker than the profile requires."),
            text("Ask the user for a better one, then send the profile again."),
        ),
        "4009": _cause(
            text("The device is locked."),
            text("Send the profile again when it is unlocked."),
        ),
        "4015": _cause(
            text("It would replace the management profile by one without management."),
            text("Choose another identifier for the profile."),
        ),
        "4023": _cause(
            text("The profile holds a payload that this device does not take."),
            text("Take that payload out, or send the profile to another kind of device."),
        ),
        "4025": _cause(
            text("The profile needs a supervised device."),
            text("Supervise it with Automated Device Enrollment or Apple Configurator."),
        ),
        _ANY: _cause(
            text("The device did not take the profile."),
            text("The text of the error tells why. Correct the profile and send it again."),
        ),
    },
    "MCPasscodeErrorDomain": {
        "5010": _cause(
            text("The device is locked."),
            text("Send the command again when it is unlocked."),
        ),
        "5013": _cause(
            text("The unlock token does not fit this device."),
            text(
                "The token changes with each enrollment. Use the one in escrow, or ask for a "
                "new one."
            ),
        ),
        _ANY: _cause(
            text("The passcode does not fit."),
            text("Ask for the security information to see what is required."),
        ),
    },
    "MCCertificateErrorDomain": {
        "9000": _cause(
            text("The password does not open the certificate."),
            text("Put the right Password into the payload."),
        ),
        _ANY: _cause(
            text("The certificate in the profile cannot be used."),
            text("Check its format: DER or PEM for certificates, PKCS#12 for identities."),
        ),
    },
    "MCSCEPErrorDomain": {
        _ANY: _cause(
            text("The device got no identity by SCEP."),
            text("See that it reaches the SCEP server and that the challenge is still good."),
        ),
    },
    "MCProvisioningProfileErrorDomain": {
        _ANY: _cause(
            text("The provisioning profile cannot be used."),
            text("Take the file as Apple's developer site gives it, for this device."),
        ),
    },
    "MCSettingsErrorDomain": {
        "28000": _cause(
            text("This device has no such setting."),
            text("Leave it out for devices of this kind."),
        ),
        "28001": _cause(
            text("The image cannot be used as wallpaper."),
            text("Send a PNG or JPEG."),
        ),
        "28002": _cause(
            text("The wallpaper could not be set."),
            text("Where is 1 for the lock screen, 2 for the Home Screen, 3 for both."),
        ),
    },
    "MCChaperoneErrorDomain": {
        "29000": _cause(
            text("The device is not supervised."),
            text("Supervise it with Automated Device Enrollment or Apple Configurator."),
        ),
    },
    "ROSLockoutServiceDaemonErrorDomain": {
        "8": _cause(
            text("The current recovery lock password is wrong."),
            text("Give the password that was set last."),
        ),
    },
    "FDEErrorDomain": {
        "-69594": _cause(
            text("FileVault is off."),
            text("Turn it on first, for example by a profile."),
        ),
        "-69595": _cause(
            text("The password does not unlock FileVault."),
            text("Give the password of a user who can, or the recovery key."),
        ),
    },
    "NSURLErrorDomain": {
        _ANY: _cause(
            text("The device could not reach the address."),
            text("See that it has a network, and that it trusts the server there."),
        ),
    },
}
