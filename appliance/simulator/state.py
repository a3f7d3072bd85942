"""What one simulated device is and remembers; small, so that thousands fit in one process."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


class Platform(enum.Enum):
    """The kinds of device that are simulated; the value is how a person says it."""

    MAC = "Mac"
    IPHONE = "iPhone"
    IPAD = "iPad"
    APPLE_TV = "Apple TV"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app as the App Store knows it; one object is shared by all devices that have it."""

    identifier: str
    name: str
    version: str
    size: int  # bytes
    store_id: int = 0  # 0: not from the App Store


@dataclass(slots=True, kw_only=True)
class ManagedApp:
    """An app that came through management, or is on its way."""

    app: App
    status: str = "Installing"  # Apple's word: Installing, Prompting, Managed, …
    flags: int = 0
    configuration: dict[str, Any] | None = None
    attributes: dict[str, Any] | None = None
    enterprise: bool = False  # from a manifest instead of the App Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A managed book."""

    store_id: int | None
    persistent_id: str | None
    kind: str
    title: str
    author: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload of an installed profile; `content` only where the device acts on it."""

    type: str
    identifier: str
    uuid: str
    version: int = 1
    names: tuple[tuple[str, str], ...] = ()  # PayloadDisplayName, …Description, …Organization
    content: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An installed configuration profile."""

    identifier: str
    uuid: str
    version: int = 1
    names: tuple[tuple[str, str], ...] = ()  # PayloadDisplayName, …Description, …Organization
    payloads: tuple[Payload, ...] = ()
    signers: tuple[bytes, ...] = ()  # DER certificates, signer first
    removal_disallowed: bool = False
    removal_passcode: bool = False
    encrypted: bool = False
    managed: bool = True

    def payloads_of(self, *types: str) -> tuple[Payload, ...]:
        """Return the payloads of these types, in the order of the profile."""
        return tuple(payload for payload in self.payloads if payload.type in types)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningProfile:
    """Lets in-house apps run."""

    name: str
    uuid: str
    expires: datetime | None


@dataclass(slots=True, kw_only=True)
class User:
    """A local account of a Mac, or a resident user of a Shared iPad."""

    short_name: str
    full_name: str
    guid: str
    uid: int
    logged_in: bool = False
    admin: bool = False
    secure_token: bool = False
    locked_out: bool = False  # too many wrong passwords; UnlockUserAccount helps
    unsynced: bool = False
    created_by_management: bool = False


@dataclass(slots=True, kw_only=True)
class Mac:
    """What only a Mac has."""

    apple_silicon: bool = True
    host_name: str = ""
    filevault_key: str | None = None  # personal recovery key; None: FileVault is off
    institutional_key: bool = False
    firewall: bool = False
    recovery_lock: str | None = None
    firmware_password: str | None = None
    firmware_change_pending: bool = False
    firmware_oroms: bool = False
    remote_desktop: bool = False
    content_cache: bool = False
    bootstrap_token: bytes | None = None
    scanned_at: datetime | None = None  # last look for software updates


@dataclass(slots=True, kw_only=True)
class Cellular:
    """A modem and its one subscription."""

    imei: str
    meid: str
    iccid: str
    eid: str
    phone_number: str
    carrier: str
    mcc: str
    mnc: str
    data_roaming: bool = False
    voice_roaming: bool = True
    personal_hotspot: bool = False


@dataclass(slots=True, kw_only=True)
class LostMode:
    """What a lost device shows, and where it is."""

    message: str = ""
    phone_number: str = ""
    footnote: str = ""


@dataclass(slots=True, kw_only=True)
class UpdateProgress:
    """An OS update that was asked for."""

    product_key: str
    version: str
    build: str
    started_at: datetime
    install_at: datetime | None  # None: it is only downloaded
    deferrals: int = 0


@dataclass(slots=True, kw_only=True)
class DeviceState:
    """One device. `answers.answer` reads and changes it; the rest is set when it is cast."""

    platform: Platform
    udid: str
    serial_number: str
    device_name: str
    model_name: str  # "iPhone 17"
    product_name: str  # "iPhone18,3"
    model: str  # part number, "MG6K4J/A"
    os_version: str
    build_version: str
    wifi_mac: str
    bluetooth_mac: str
    capacity: float  # GB of 1024³ bytes
    used: float
    locale: str = "en_US"
    time_zone: str = "UTC"

    # How it behaves.
    silent: bool = False  # enrolls, then answers no push
    locked: bool = False  # the screen is locked: what needs an unlocked device is NotNow
    battery: float | None = None  # 0.0 to 1.0 when it is first looked at; None: has none
    battery_since: datetime | None = None
    needs_enrollment: bool = True

    # How it is managed.
    supervised: bool = False
    ade: bool = False  # came through Automated Device Enrollment
    awaiting_configuration: bool = False
    access_rights: int = 8191
    management_profile: str | None = None  # identifier of the profile that enrolled it
    identity_certificate: bytes | None = None  # DER
    activation_lock: bool = False
    bypass_code: str | None = None
    unlock_token: bytes | None = field(default=None, repr=False)
    push_token: bytes | None = field(default=None, repr=False)  # of the user channel
    lost_mode: LostMode | None = None
    passcode: bool = False
    shared: bool = False  # a Shared iPad
    organization: dict[str, str] | None = None
    options: dict[str, bool] | None = None  # MDMOptions
    restrictions_password: bool = False

    # What is on it.
    profiles: dict[str, Profile] = field(default_factory=dict)
    user_profiles: dict[str, Profile] | None = None  # of the user channel of a Mac
    provisioning_profiles: tuple[ProvisioningProfile, ...] = ()
    apps: tuple[App, ...] = ()  # what the user or Apple installed
    managed_apps: dict[str, ManagedApp] | None = None
    books: tuple[Book, ...] = ()
    users: list[User] = field(default_factory=list)
    settings: dict[str, Any] | None = None  # what the Settings command changed, by item
    update: UpdateProgress | None = None
    mac: Mac | None = None
    cellular: Cellular | None = None

    @property
    def imei(self) -> str | None:
        """The first IMEI, if there is a modem."""
        return self.cellular.imei if self.cellular else None

    @property
    def meid(self) -> str | None:
        """The MEID, if there is a modem."""
        return self.cellular.meid if self.cellular else None

    @property
    def console_user(self) -> User | None:
        """The user who is logged in on a Mac; has a user channel."""
        return next((user for user in self.users if user.logged_in), None)

    @property
    def is_mac(self) -> bool:
        return self.mac is not None

    @property
    def is_ios(self) -> bool:
        """iPhone or iPad."""
        return self.platform in (Platform.IPHONE, Platform.IPAD)
