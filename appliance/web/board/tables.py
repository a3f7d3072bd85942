"""How the lists in answers become tables: what names an entry, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.web.languages import text

# What a flag says when it is so, as a note beside the name.
Notes = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A list of dictionaries as a table; of several keys the first that an entry has is taken."""

    name: tuple[str, ...]
    heading: str = text("Name")  # above the names
    code: str = ""  # the identifier that stands below the name
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # heading → keys
    notes: Notes = field(default_factory=dict)


_VERSION = ("ShortVersion", "Version")

SHAPES: Mapping[str, Shape] = {
    "InstalledApplicationList": Shape(
        name=("Name", "Identifier"),
        code="Identifier",
        columns={
            text("Version"): _VERSION,
            text("Size"): ("BundleSize",),
            text("Data"): ("DynamicSize",),
        },
        notes={
            "HasUpdateAvailable": text("Update available"),
            "Installing": text("Installing"),
            "DownloadFailed": text("Download failed"),
            "DownloadPaused": text("Download paused"),
            "DownloadWaiting": text("Download waiting"),
            "BetaApp": text("Beta"),
            "AdHocCodeSigned": text("Signed ad hoc"),
            "IsAppClip": text("App Clip"),
            "DeviceBasedVPP": text("Licensed to the device"),
        },
    ),
    "ManagedApplicationList": Shape(
        name=("Identifier",),
        columns={text("State"): ("Status",)},
        notes={
            "HasConfiguration": text("Has a configuration"),
            "HasFeedback": text("Has feedback"),
        },
    ),
    "ProfileList": Shape(
        name=("PayloadDisplayName", "PayloadIdentifier"),
        code="PayloadIdentifier",
        columns={
            text("Organization"): ("PayloadOrganization",),
            text("Contains"): ("PayloadContent",),
            text("Signed by"): ("SignerCertificates",),
        },
        notes={
            "IsManaged": text("Installed by management"),
            "IsEncrypted": text("Encrypted"),
            "PayloadRemovalDisallowed": text("Cannot be removed by the user"),
            "HasRemovalPasscode": text("Removal needs a passcode"),
        },
    ),
    "CertificateList": Shape(
        name=("CommonName",),
        columns={text("Issued by"): ("Issuer",), text("Valid until"): ("NotAfter",)},
        notes={"IsIdentity": text("With private key")},
    ),
    "ProvisioningProfileList": Shape(
        name=("Name", "UUID"), code="UUID", columns={text("Expires"): ("ExpiryDate",)}
    ),
    "AvailableOSUpdates": Shape(
        name=("HumanReadableName", "ProductName", "ProductKey"),
        code="ProductKey",
        columns={
            text("Version"): ("Version",),
            text("Build"): ("Build",),
            text("Size"): ("DownloadSize",),
        },
        notes={
            "IsCritical": text("Critical"),
            "IsSecurityResponse": text("Security response"),
            "IsMajorOSUpdate": text("Major release"),
            "IsFirmwareUpdate": text("Firmware"),
            "IsConfigDataUpdate": text("Configuration data"),
            "RestartRequired": text("Needs a restart"),
        },
    ),
    "OSUpdateStatus": Shape(
        name=("ProductKey",),
        columns={
            text("State"): ("Status",),
            text("Downloaded"): ("DownloadPercentComplete",),
            text("Next attempt"): ("NextScheduledInstall",),
        },
    ),
    "UpdateResults": Shape(
        name=("ProductKey",),
        columns={
            text("Action"): ("InstallAction",),
            text("State"): ("Status",),
            text("Error"): ("ErrorChain",),
        },
    ),
    "Settings": Shape(
        name=("Item", "Identifier"),
        heading=text("Setting"),
        columns={text("Result"): ("Status",), text("Error"): ("ErrorChain",)},
    ),
    "Users": Shape(
        name=("FullName", "UserName"),
        code="UserName",
        columns={text("User ID"): ("UID",), text("Space used"): ("DataUsed",)},
        notes={
            "IsLoggedIn": text("Logged in"),
            "HasSecureToken": text("Secure token"),
            "MobileAccount": text("Mobile account"),
            "HasDataToSync": text("Has data to sync"),
        },
    ),
    "Extensions": Shape(
        name=("DisplayName", "Identifier"),
        code="Identifier",
        columns={
            text("Place"): ("ExtensionPoint",),
            text("Belongs to"): ("ContainerDisplayName",),
            text("Turned on by the user"): ("UserElection",),
        },
    ),
    "Books": Shape(
        name=("Title", "PersistentID"),
        columns={
            text("Author"): ("Author",),
            text("Kind"): ("Kind",),
            text("State"): ("State",),
        },
    ),
    "ResponseList": Shape(
        name=("DeviceRequestUUID",),
        columns={
            text("Done"): ("DeviceRequestSuccess",),
            text("Error"): ("DeviceRequestReturnError",),
        },
    ),
    "ServiceSubscriptions": Shape(
        name=("Label", "Slot"),
        columns={
            text("Carrier"): ("CurrentCarrierNetwork",),
            text("Phone number"): ("PhoneNumber",),
            text("IMEI"): ("IMEI",),
        },
        notes={
            "IsDataPreferred": text("For data"),
            "IsVoicePreferred": text("For calls"),
            "IsRoaming": text("Roaming"),
        },
    ),
    "AutoSetupAdminAccounts": Shape(name=("shortName",), code="GUID"),
    "Applications": Shape(
        name=("Name", "BundleID"), code="BundleID", columns={text("Allowed"): ("Allowed",)}
    ),
    "Peers": Shape(
        name=("address",), heading=text("Address"), columns={text("Healthy"): ("healthy",)}
    ),
    "Parents": Shape(
        name=("address",), heading=text("Address"), columns={text("Healthy"): ("healthy",)}
    ),
    "Alerts": Shape(name=("className",), heading=text("Kind")),
}

# Lists of dictionaries that hold one dictionary each: a group of facts of that name.
GROUPED: Mapping[str, str] = {
    "ApplicationConfigurations": "Configuration",
    "ApplicationAttributes": "Attributes",
    "ManagedApplicationFeedback": "Feedback",
}
