"""Why a device got no certificate: services say it in English, a page in its own language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.services.device_identities import UNPROVEN
from appliance.web.languages import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Both are to be translated."""

    cause: str
    fix: str


NEW_LINK = text("Make a new link.")
_DOWNLOAD_AGAIN = text("Download the profile again from the page of the link.")
_ENROLL_AGAIN = text("Remove the management profile from the device and let it enroll again.")

# As `services/ca`, `services/device_identities`, `store/links` and `store/exchanges` word them; a
# test holds them together.
_CAUSES: Mapping[str, tuple[str, str]] = {
    "the challenge was used before": (
        text("The profile had been used already: each is good for one device, once."),
        _DOWNLOAD_AGAIN,
    ),
    "the challenge is unknown or expired": (
        text("The profile was too old when it was installed."),
        _DOWNLOAD_AGAIN,
    ),
    "the clock was set back to before the challenge was made": (
        text("The clock of the server was set back after the profile was downloaded."),
        text("Check the date and time of the server, then download the profile again."),
    ),
    "the enrollment link is used up or revoked": (
        text("The link was used up or revoked before this device got its certificate."),
        NEW_LINK,
    ),
    "the certificate authority has ended": (
        text("The certificate authority of the server has expired."),
        text("Set the server up anew, and let every device enroll again."),
    ),
    "the identity to renew is revoked or has expired": (
        text("The certificate that was to be renewed is revoked or has expired."),
        _ENROLL_AGAIN,
    ),
    "a renewal needs a new key": (
        text("The device asked to renew its certificate without a new key."),
        _DOWNLOAD_AGAIN,
    ),
    "the identity to renew belongs to no enrolled device": (
        text("The certificate that was to be renewed belongs to no enrolled device."),
        _ENROLL_AGAIN,
    ),
    "the identity to renew has been replaced already": (
        text("The certificate that was to be renewed has been replaced already."),
        _ENROLL_AGAIN,
    ),
    "the identity has been renewed too often within a day": (
        text("The device has renewed its certificate too often today."),
        text("It keeps the certificate that it has, and may renew it again tomorrow."),
    ),
    UNPROVEN: (
        text("The device could not prove that it is one of Apple's."),
        text("Let it enroll by the page of the link instead, which asks for no proof."),
    ),
    "RenewalReq is signed by a certificate that is not ours": (
        text("The certificate that was to be renewed is of another server."),
        _ENROLL_AGAIN,
    ),
}


def refusal_of(reason: str) -> Refusal:
    """Return what to tell of a recorded reason; one of another release stays as it is."""
    cause, fix = _CAUSES.get(reason, (reason, _DOWNLOAD_AGAIN))
    return Refusal(cause=cause, fix=fix)
