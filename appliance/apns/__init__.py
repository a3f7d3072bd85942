"""Push through APNs: one call, and an outcome that says what to do next."""

from __future__ import annotations

from appliance.apns.credentials import push_ssl_context, trusting
from appliance.apns.outcome import (
    Accepted,
    CertificateRefused,
    Outcome,
    Refused,
    Retry,
    TokenGone,
    TokenRefused,
)
from appliance.apns.sender import PushSender, PushTarget

__all__ = [
    "Accepted",
    "CertificateRefused",
    "Outcome",
    "PushSender",
    "PushTarget",
    "Refused",
    "Retry",
    "TokenGone",
    "TokenRefused",
    "push_ssl_context",
    "trusting",
]
