"""What kind of device a person holds, as far as a browser tells."""

from __future__ import annotations

from enum import StrEnum


class Platform(StrEnum):
    """Whose steps the page shows."""

    IPHONE = "iphone"
    IPAD = "ipad"
    MAC = "mac"
    OTHER = "other"


def guess_platform(user_agent: str, asked: str | None = None) -> Platform:
    """Return the platform a person `asked` for (`?device=`), else what the User-Agent suggests.

    Safari on an iPad calls itself a Mac unless told otherwise; the page's script, which can ask
    for touch, corrects that, and without it the person chooses.
    """
    if asked in set(Platform):
        return Platform(asked)
    if "iPhone" in user_agent or "iPod" in user_agent:
        return Platform.IPHONE
    if "iPad" in user_agent:
        return Platform.IPAD
    if "Macintosh" in user_agent:
        return Platform.MAC
    return Platform.OTHER
