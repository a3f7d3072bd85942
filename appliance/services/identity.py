"""Rules about a device's certificate that need no store: its dates."""

from __future__ import annotations

from appliance.errors import NotAuthorized
from appliance.services.clock import is_behind
from appliance.wire.cms import Signer

# A device's clock and ours may differ.
_SKEW_SECONDS = 900


def check_dates(signer: Signer, now: int) -> None:
    """Refuse a certificate that has ended at `now` (Unix milliseconds).

    That one counts at all is proved by its row in the store. So when it is not valid yet, our
    clock went back since we issued it, and the device is not to blame.

    Raises:
        NotAuthorized: it is no longer valid.
    """
    if is_behind(now):
        return
    seconds = now // 1000
    if seconds > signer.not_after + _SKEW_SECONDS:
        raise NotAuthorized("the identity certificate has expired")
