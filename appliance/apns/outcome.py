"""What became of one push, and so what the caller does next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A push server must not be able to silence a device for longer than this.
_MAX_RETRY_AFTER_SECONDS = 3600.0
_MAX_REASON_LENGTH = 100

_TOKEN_REASONS = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """APNs took the push. That the device got it is only proven by its `Idle`."""

    apns_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGone:
    """410: the token is inactive since `since`; do not push until the next TokenUpdate."""

    reason: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused:
    """400: the token does not belong to this topic or environment; wait for a TokenUpdate."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRefused:
    """APNs refuses the push certificate: stop sending to anyone and raise an alarm."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Nothing is wrong with the push; try again, not before `after_seconds` if it is known."""

    reason: str
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A fault of ours (bad topic, path or payload): the same push would be refused again."""

    status: int
    reason: str


Outcome = Accepted | TokenGone | TokenRefused | CertificateRefused | Retry | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP response of APNs, unparsed."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLost:
    """The request ended without an answer; `resend` if doing it again can do no harm."""

    reason: str
    resend: bool


def outcome_of(answer: Answer, *, apns_id: str, now: datetime) -> Outcome:
    """Return what `answer` means; `apns_id` is the one sent, used when none comes back.

    Source: Apple, "Handling notification responses from APNs".
    """
    reason, since = _read_error(answer)
    match answer.status:
        case 200:
            return Accepted(apns_id=_text(answer.headers.get(b"apns-id", b"")) or apns_id)
        case 400 if reason in _TOKEN_REASONS:
            return TokenRefused(reason=reason)
        case 403:
            return CertificateRefused(reason=reason)
        case 410:
            return TokenGone(reason=reason, since=since)
        case status if status == 429 or status >= 500 or reason == "IdleTimeout":
            retry_after = _text(answer.headers.get(b"retry-after", b""))
            return Retry(reason=reason, after_seconds=_retry_after_seconds(retry_after, now))
        case status:
            return Refused(status=status, reason=reason)


def _read_error(answer: Answer) -> tuple[str, datetime | None]:
    """Return reason and timestamp; a missing or unreadable body leaves the status as reason."""
    fallback = f"HTTP {answer.status}"
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return fallback, None
    if not isinstance(body, dict):
        return fallback, None
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason:
        reason = fallback
    return _text(reason.encode(errors="replace")), _time(body.get("timestamp"))


def _time(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _retry_after_seconds(value: str, now: datetime) -> float | None:
    """Read Retry-After in both its forms. Source: RFC 9110 section 10.2.3."""
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(value, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)


def _seconds_until(http_date: str, now: datetime) -> float:
    return (parsedate_to_datetime(http_date) - now).total_seconds()


def _text(value: bytes) -> str:
    """Printable and short, since it goes to the log and to a person."""
    text = value[:_MAX_REASON_LENGTH].decode(errors="replace")
    if text.isprintable():
        return text
    return "".join(character for character in text if character.isprintable())
