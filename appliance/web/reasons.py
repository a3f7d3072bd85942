"""Why a device cannot do something: the catalogue says it in English, the page in its language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from appliance.web.languages import text

# As `mdm/catalogue/support.py` words them; a test holds the two together.
_SENTENCES = (
    text("does not exist on %(platform)s, only on %(others)s"),
    text("does not exist on %(platform)s"),
    text("needs a supervised device; this one is not"),
    text("needs a supervised device; whether this one is, is not known yet"),
    text("needs Automated Device Enrollment"),
    text("is not allowed in a user enrollment"),
    text("needs %(needed)s or later; the version is not known yet"),
    text("needs %(needed)s or later; this device has %(version)s"),
    text("was removed in %(version)s"),
    text("is deprecated since %(version)s"),
    text("is for the device channel only"),
    text("is for a user channel only"),
    text("needs a Shared iPad; this is none"),
    text("needs a Shared iPad; whether this is one, is not known yet"),
    text("is not allowed on a Shared iPad"),
    text("is ignored on a Shared iPad"),
    text("is for the device channel of a Shared iPad only"),
    text("is for a user channel of a Shared iPad only"),
    text("needs Apple silicon; this device has none"),
    text("needs Apple silicon; the processor is not known yet"),
    text("needs an Intel processor; this device has none"),
    text("needs an Intel processor; the processor is not known yet"),
    text("the platform of the device is not known yet"),
    text("the device does not answer %(queries)s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A reason taken apart: `message` is to be translated, and filled with `values`."""

    message: str
    subject: str = ""  # the command or key that it is about, where the reason names one
    values: Mapping[str, str] = field(default_factory=dict)


def reason_of(said: str) -> Reason:
    """Return a reason of the catalogue; one of another wording stays as it is."""
    for message, pattern in _patterns():
        match = pattern.fullmatch(said)
        if match is not None:
            values = match.groupdict()
            return Reason(message=message, subject=values.pop("subject") or "", values=values)
    return Reason(message="%(said)s", values={"said": said})


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(message, pattern_of(message, r"(?:(?P<subject>[^ ]+) )?")) for message in _SENTENCES]


def pattern_of(message: str, subject: str = "") -> re.Pattern[str]:
    """Return what matches `message` with its places filled, after what matches its subject."""
    filled = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(message))
    return re.compile(f"{subject}{filled}", re.DOTALL)
