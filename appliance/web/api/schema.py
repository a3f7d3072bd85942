"""The bodies of the API, in and out; what msgspec checks and what the OpenAPI file shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.mdm.device import DeviceFacts
from appliance.services.ca import CaStatus

T = TypeVar("T")
Limit = Annotated[int, Meta(ge=1, le=500)]


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a caller sends; a field that we do not know is refused, as it would do nothing."""


class Answer(msgspec.Struct, kw_only=True):
    """What a caller gets."""


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page of a list; `next_cursor` asks for the next one, null on the last."""

    items: list[T]
    next_cursor: str | None = None


class PageQuery(Body):
    """Where in a list to begin, and how much of it to give."""

    cursor: str | None = None
    limit: Limit = 50


class DeviceQuery(PageQuery):
    """`q` is looked for in id, serial number, name, model and OS version; `channel` is whose."""

    q: Annotated[str, Meta(max_length=100)] | None = None
    channel: Literal["device", "user", "all"] = "device"


class LinkQuery(PageQuery):
    """Where in the list of links to begin, and how much of it to give."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 500


class CommandQuery(Body):
    """`wait`: seconds to wait for the device's answer."""

    wait: Annotated[float, Meta(ge=0, le=60)] = 0


class EventsQuery(Body):
    """What to hear of: `types` separated by commas, one `device`; from which event on."""

    last_event_id: Annotated[int, Meta(ge=0, le=10**18)] | None = None
    types: str | None = None
    device: str | None = None


class ImportQuery(Body):
    """What JSON bodies carry as fields, for a raw PEM body."""

    replace_topic: str | None = None
    account: str | None = None


class DeviceAnswer(Answer):
    """One channel with the whole of its last answers; `id` is the enrollment ID."""

    id: str
    channel: str
    type: str
    parent_id: str | None
    serial_number: str | None
    udid: str | None
    name: str | None
    model: str | None
    os_version: str | None
    enrolled: bool
    state: str
    erased: bool
    last_seen: datetime | None
    enrolled_at: datetime | None
    queue_depth: int
    token_update_tally: int
    awaiting_configuration: bool
    facts: DeviceFacts
    information: dict[str, Any] | None
    information_at: datetime | None
    security: dict[str, Any] | None
    security_at: datetime | None
    push_outcome: str | None
    push_sent_at: datetime | None
    certificate_serial: str | None
    certificate_not_after: datetime | None
    certificate_days_left: int | None = None
    renewal: str | None = None  # of the identity: see `services.renewals.RenewalState`
    renewal_queued_at: datetime | None = None
    renewal_command: str | None = None
    renewal_problem: str | None = None


class ReenrollmentBody(Body):
    """For how long the device may bring a new identity."""

    minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60


class Confirmation(Body):
    """Proof that a dangerous command is meant for this very device."""

    serial_number: str


class CommandBody(Body):
    """Either `request_type` with `parameters`, or `plist`: a whole command, base64.

    For `undo_seconds` nothing is sent and the command can be cancelled; `reason` is for the audit.
    """

    targets: list[str]
    request_type: str | None = None
    parameters: dict[str, Any] | None = None
    plist: bytes | None = None
    push: bool = True
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    confirm: Confirmation | None = None
    undo_seconds: Annotated[float, Meta(ge=0, le=60)] = 0
    reason: Annotated[str, Meta(max_length=500)] = ""


class QueuedAnswer(Answer):
    """One queued command; `id` is its CommandUUID."""

    id: str
    target: str
    status: str
    not_before: datetime | None
    warnings: list[str] | UnsetType = UNSET


class CommandsAnswer(Answer):
    """One entry for each target."""

    commands: list[QueuedAnswer]


class CommandAnswer(Answer):
    """One command of one channel; `result` is the device's whole answer."""

    id: str
    target: str
    request_type: str
    status: str
    queued_at: datetime | None
    pushed_at: datetime | None
    connected_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    not_before: datetime | None
    restored_at: datetime | None
    held: bool
    error_chain: list[dict[str, Any]]
    result: dict[str, Any] | None
    channels: list[CommandAnswer] | UnsetType = UNSET
    """Every channel, where one CommandUUID was queued for several."""


class SecretsBody(Body):
    """Why the secrets are wanted, for the audit; `target` is needed where there are several."""

    reason: Annotated[str, Meta(max_length=500)] = ""
    target: str | None = None


class SecretsAnswer(CommandAnswer, kw_only=True):
    """One command of one channel with the secrets of its answer.

    `parameters` are those it was queued with; null once a command that held a secret is over.
    """

    parameters: dict[str, Any] | None


class RequestType(Answer):
    """One request type; `keys` tells each key's type."""

    request_type: str
    dangerous: bool
    required: list[str]
    keys: dict[str, str]
    platforms: dict[str, str | None]
    """With the first OS version that has it."""


class LinkBody(Body):
    """`expires_in` is seconds, or a text such as "7d" or "12h"."""

    uses: Annotated[int, Meta(ge=1, le=100_000)] = 1
    expires_in: int | str | None = None
    label: Annotated[str, Meta(max_length=200)] = ""


class LinkAnswer(Answer):
    """An enrollment link: `url` for a person, `profile_url` for a program."""

    code: str
    url: str
    profile_url: str
    label: str
    uses: int
    used: int
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    state: str


class PushCertificateBody(Body):
    """`certificate` and `private_key` (PEM, or DER in base64), or `pkcs12` (base64).

    Without `account`, a renewed certificate keeps the one that was noted.
    """

    certificate: str | None = None
    private_key: str | None = None
    pkcs12: bytes | None = None
    password: str | None = None
    replace_topic: str | None = None
    account: str | None = None


class PushCertificateAnswer(Answer):
    """The push certificate; `last_error` is the last thing that Apple had against it."""

    configured: bool
    topic: str | None
    not_after: datetime | None
    days_left: int | None
    account: str
    imported_at: datetime | None
    last_error: str | None


class PushTestAnswer(Answer):
    """What Apple's push service said."""

    result: str


class StatusAnswer(Answer):
    """The server's health; `problems` says what needs a person."""

    version: str
    url: str
    organization: str
    ready: bool
    started_at: datetime
    devices: dict[str, int]
    queue_depth: int
    push: PushCertificateAnswer
    ca: CaStatus
    tls_not_after: datetime
    database_bytes: int
    last_backup_at: datetime | None
    backup_failed: bool
    problems: list[str]


class BackupAnswer(Answer):
    """One encrypted file on the server; a nightly one goes when there are newer ones enough."""

    name: str
    path: str
    size_bytes: int
    created_at: datetime
    nightly: bool


class ReleaseBody(Body):
    """The device that the held command is meant for."""

    confirm: Confirmation | None = None


class RestoredCommandAnswer(Answer):
    """A command that was unfinished in the backup and is so still: its device may have had it."""

    id: str
    target: str
    name: str
    request_type: str
    held: bool


class TokenBody(Body):
    """A new token."""

    name: str
    scopes: list[str] = msgspec.field(default_factory=lambda: ["read", "write"])
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class TokenAnswer(Answer):
    """A new token with its text, which is shown this once."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    token: str


class UserBody(Body):
    """A new user of the page."""

    name: str
    password: str


class PasswordBody(Body):
    """A user's new password."""

    password: str


class SignInCodeBody(Body):
    """Whom the code signs in; may be left out where there is just one user."""

    user: str | None = None


class SignInCodeAnswer(Answer):
    """A code, shown this once, and the address to open; no `user`: it makes the first one."""

    code: str
    url: str
    user: str | None
    expires_at: datetime


class ExpectedDevice(Body):
    """An awaited device and the SHA-256 of the DER of its identity certificate, in hex."""

    id: str
    certificate_sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]


class ExpectedBody(Body):
    """Which certificate each device has; one that is named repeatedly has one of these."""

    devices: Annotated[list[ExpectedDevice], Meta(min_length=1, max_length=100_000)]


class AuthoritiesBody(Body):
    """One certificate or several, PEM."""

    certificates: str


class RevokeBody(Body):
    """A certificate's serial number, or the enrollment ID whose identity it is."""

    name: str


class RevokedAnswer(Answer):
    """The serial number of the revoked certificate."""

    serial: str
