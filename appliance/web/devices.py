"""What every device endpoint has in common: how it fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeVar

from aiohttp import web

from appliance import logs
from appliance.errors import ApplianceError
from appliance.web.errors import DEVICE_STATUS, logged_path, set_retry_after, status_of

logger = logging.getLogger(__name__)

_RETRY_SECONDS = (2, 12)  # those who are sent away together should not come back together

Request = TypeVar("Request", bound=web.BaseRequest)


def device_endpoint(
    handler: Callable[[Request], Awaitable[web.StreamResponse]],
) -> Callable[[Request], Awaitable[web.StreamResponse]]:
    """Answer errors with a status and an empty body; the reason goes to the log.

    Only an administrator's block becomes 401, which makes a device drop its management.
    """

    @wraps(handler)
    async def guarded(request: Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApplianceError as error:
            return _refusal(request, error)
        except web.HTTPException:
            raise
        except Exception:  # the device keeps its result and sends it again
            logger.exception("device request failed", extra={logs.PATH: logged_path(request)})
            return web.Response(status=500)

    return guarded


def refused_with(error: ApplianceError, *, path: str, address: str | None) -> int:
    """Return the status that tells a device of `error`; the reason goes to the log."""
    status = status_of(error, DEVICE_STATUS)
    fields = {
        logs.PATH: path, logs.STATUS: status, logs.REASON: str(error), logs.ADDRESS: address,
    }  # fmt: skip
    logger.warning("device request refused", extra=fields)
    return status


def _refusal(request: web.BaseRequest, error: ApplianceError) -> web.Response:
    status = refused_with(error, path=logged_path(request), address=request.remote)
    response = web.Response(status=status)
    seconds = random.randint(*_RETRY_SECONDS)  # noqa: S311 - jitter, not a secret
    set_retry_after(response, error, busy_seconds=seconds)
    if not request.content.is_eof():  # what is still to come would be taken for the next request
        response.force_close()
    return response
