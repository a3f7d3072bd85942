"""Rules about a device's certificate that need no store: its dates."""

from __future__ import annotations

from appliance.errors import NotAuthorized
from appliance.services.clock import is_behind
from appliance.wire.cms import Signer

# A device's clock and ours may differ; certificates begin ten minutes early anyway.
_SKEW_SECONDS = 900


def check_dates(signer: Signer, now: int) -> None:
    """Refuse a certificate that is not valid at `now` (Unix milliseconds).

    Raises:
        NotAuthorized: not yet, or no longer, valid.
    """
    if is_behind(now):  # it is the clock that is wrong, not every device
        return
    seconds = now // 1000
    if seconds > signer.not_after + _SKEW_SECONDS:
        raise NotAuthorized("the identity certificate has expired")
    if seconds < signer.not_before - _SKEW_SECONDS:
        raise NotAuthorized("the identity certificate is not valid yet")
