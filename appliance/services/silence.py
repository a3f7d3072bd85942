"""Why a device is silent: what we hold speaks for or against each cause. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.services.push_certificates import PushCertificateStatus
from appliance.store.answers import PushState
from appliance.store.command_records import CommandRecord
from appliance.store.devices import DeviceDetails
from appliance.store.events import Event

_ANSWERED = ("acknowledged", "error", "format_error")


class Cause(StrEnum):
    """What can keep a device from answering."""

    NOT_ENROLLED = "not_enrolled"
    BLOCKED = "blocked"
    PUSH_CERTIFICATE = "push_certificate"
    PUSH_REFUSED = "push_refused"  # Apple no longer knows the device's push token
    PUSH_FAILED = "push_failed"  # Apple could not be reached, or was busy
    IDENTITY_EXPIRED = "identity_expired"
    NOT_NOW = "not_now"
    TOO_LARGE = "too_large"  # its answer is, for the server
    NEVER_CAME = "never_came"  # told, and not seen since
    UNREACHABLE = "unreachable"  # off, out of network, behind a firewall


class Verdict(StrEnum):
    """What is known about a cause."""

    FOUND = "found"
    RULED_OUT = "ruled_out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One cause with its verdict; `at` since when.

    `detail` is in the words of Apple's server; of TOO_LARGE it is the setting that forbids it.
    """

    cause: Cause
    verdict: Verdict
    at: datetime | None = None
    detail: str = ""


def explain(
    details: DeviceDetails,
    push: PushState | None,
    certificate: PushCertificateStatus,
    history: Sequence[CommandRecord],
    too_large: Event | None,
    now: datetime,
) -> list[Finding]:
    """Return every cause in the order in which a person would rule them out.

    Args:
        too_large: the last message of the device that was larger than the server takes.
    """
    device = details.device
    heard = [device.last_seen, None if too_large is None else too_large.at]
    never_came = _never_came(max((at for at in heard if at is not None), default=None), push)
    return [
        _finding(
            Cause.NOT_ENROLLED,
            device.state in ("checked_out", "forgotten") or device.erased,
            detail="erased" if device.erased else device.state,
        ),
        _finding(Cause.BLOCKED, device.state == "blocked"),
        _push_certificate(certificate, push, now),
        _push_refused(push),
        _push_failed(push),
        _identity(details.certificate_not_after, now),
        _not_now(history),
        _too_large(too_large, history),
        never_came,
        Finding(
            cause=Cause.UNREACHABLE,
            verdict=Verdict.RULED_OUT
            if never_came.verdict is Verdict.RULED_OUT
            else Verdict.UNKNOWN,
        ),
    ]


def _finding(cause: Cause, found: bool, at: datetime | None = None, detail: str = "") -> Finding:
    verdict = Verdict.FOUND if found else Verdict.RULED_OUT
    return Finding(cause=cause, verdict=verdict, at=at, detail=detail if found else "")


def _push_certificate(
    certificate: PushCertificateStatus, push: PushState | None, now: datetime
) -> Finding:
    if not certificate.configured:
        return _finding(Cause.PUSH_CERTIFICATE, found=True, detail="missing")
    if certificate.not_after is not None and certificate.not_after <= now:
        return _finding(Cause.PUSH_CERTIFICATE, True, certificate.not_after, "expired")
    outcome = _outcome(push)
    if outcome.startswith("certificate refused"):
        return _finding(Cause.PUSH_CERTIFICATE, True, detail=outcome)
    return _finding(Cause.PUSH_CERTIFICATE, found=False)


def _push_refused(push: PushState | None) -> Finding:
    refused_at = None if push is None else push.refused_at
    return _finding(Cause.PUSH_REFUSED, refused_at is not None, refused_at, _outcome(push))


def _push_failed(push: PushState | None) -> Finding:
    if push is None:
        return Finding(cause=Cause.PUSH_FAILED, verdict=Verdict.UNKNOWN)
    failed = push.attempts > 0 and _outcome(push).startswith("retry")
    return _finding(Cause.PUSH_FAILED, failed, push.sent_at, _outcome(push))


def _identity(not_after: datetime | None, now: datetime) -> Finding:
    if not_after is None:
        return Finding(cause=Cause.IDENTITY_EXPIRED, verdict=Verdict.UNKNOWN)
    return _finding(Cause.IDENTITY_EXPIRED, not_after <= now, not_after)


def _not_now(history: Sequence[CommandRecord]) -> Finding:
    refused = next((record for record in history if record.status == "not_now"), None)
    at = None if refused is None else refused.connected_at
    return _finding(Cause.NOT_NOW, refused is not None, at)


def _too_large(refused: Event | None, history: Sequence[CommandRecord]) -> Finding:
    if refused is None or not any(record.status == "sent" for record in history):
        return _finding(Cause.TOO_LARGE, found=False)
    answered = [record.finished_at for record in history if record.status in _ANSWERED]
    found = all(at is None or at < refused.at for at in answered)
    setting = f"{refused.data['limit']} = {refused.data['kib']}"
    return _finding(Cause.TOO_LARGE, found, refused.at, setting)


def _never_came(last_seen: datetime | None, push: PushState | None) -> Finding:
    if push is None or push.sent_at is None or last_seen is None:
        return Finding(cause=Cause.NEVER_CAME, verdict=Verdict.UNKNOWN, at=last_seen)
    return _finding(Cause.NEVER_CAME, last_seen < push.sent_at, push.sent_at)


def _outcome(push: PushState | None) -> str:
    return (push.outcome if push is not None else None) or ""
