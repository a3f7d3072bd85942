"""Points in time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def until(text: str | None, *, now: datetime | None = None) -> str | None:
    """Return `7d`, `12h` from `now`, or a time in ISO 8601, as RFC 3339 in UTC.

    Raises:
        click.BadParameter: neither of both.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    try:
        if match is not None:
            moment = (now or datetime.now(UTC)) + timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            moment = _parsed(text)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError as error:
        raise click.BadParameter(f"{text!r} is after the year 9999") from error


def _parsed(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a duration such as 7d or 12h nor a time such as 2027-01-31T12:00Z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
