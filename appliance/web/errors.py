"""The only place that turns an error into an HTTP status, and into a problem document."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from appliance import logs
from appliance.errors import (
    ApplianceError,
    BadSignature,
    Busy,
    Conflict,
    EnrollmentBlocked,
    InvalidRequest,
    MalformedMessage,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    ScepRefused,
    ScopeMissing,
    SignInRefused,
    TooLarge,
    TooMany,
    UnsupportedAlgorithm,
    UserChannelRefused,
)

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Table = Mapping[type[ApplianceError], int]

# 401 makes a device remove its MDM profile, and so does 403 with a certain body: the first is
# for the block that an administrator ordered, the second cannot happen, as bodies stay empty.
DEVICE_STATUS: Table = {
    ApplianceError: 500,
    MalformedMessage: 400,
    BadSignature: 400,
    UnsupportedAlgorithm: 400,
    ScepRefused: 400,
    InvalidRequest: 400,
    NotAuthorized: 400,
    EnrollmentBlocked: 401,
    UserChannelRefused: 410,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    TooMany: 429,
    Busy: 503,
}

API_STATUS: Table = {
    ApplianceError: 500,
    MalformedMessage: 400,
    BadSignature: 422,
    UnsupportedAlgorithm: 422,
    InvalidRequest: 422,
    NotAuthenticated: 401,
    NotAuthorized: 403,
    ScopeMissing: 403,
    SignInRefused: 403,
    NotFound: 404,
    Conflict: 409,
    EnrollmentBlocked: 409,
    TooLarge: 413,
    TooMany: 429,
    Busy: 503,
}

REQUEST_ID = web.RequestKey("request_id", str)
# NanoMDM's API at NanoHUB's path: its clients know a status and a text, as at /v1.
NANOHUB = "/api/v1/nanomdm"

_RETRY_SECONDS = 5
_PROBLEM = "application/problem+json"
_LINK = re.compile("^/e/[^/]*")
# Nothing of the API is a page; whatever a browser is made to do with it should fail.
_SAFETY = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HTTP_CODES = {
    400: "request.malformed",
    403: "auth.refused",
    404: "request.not_found",
    405: "request.method_not_allowed",
    413: TooLarge.code,
}


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One field that is wrong; `pointer` is a JSON pointer (RFC 6901) into the request."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 describes it; `code` is stable, the texts are not."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    why: str = ""
    hint: str = ""
    errors: list[FieldError] = []
    request_id: str = ""


class MalformedBody(InvalidRequest):
    """A body that is not what its content type says."""

    code = "request.malformed"


def status_of(error: ApplianceError, table: Table) -> int:
    """Return the status of the nearest class of `error` that the table names."""
    return next(table[cls] for cls in type(error).__mro__ if cls in table)


def problem(error: ApplianceError, request: web.Request) -> web.Response:
    """Return the answer of the API to `error`."""
    status = 400 if isinstance(error, MalformedBody) else status_of(error, API_STATUS)
    response = _response(
        request, status, error.code, error.problem,
        why=error.why, hint=error.fix, errors=_field_errors(error),
    )  # fmt: skip
    set_retry_after(response, error)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="appliance"'
    return response


def set_retry_after(
    response: web.Response, error: ApplianceError, *, busy_seconds: int = _RETRY_SECONDS
) -> None:
    """Say when to come back, where coming back helps: over a limit, or a busy store."""
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, Busy):
        response.headers["Retry-After"] = str(busy_seconds)


def logged_path(request: web.BaseRequest) -> str:
    """Return the path for the log: without the code of an enrollment link, which is a secret."""
    return _LINK.sub("/e/CODE", request.path)


@web.middleware
async def plain_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what no handler has dealt with by a status and one line; the cause is logged."""
    try:
        return await handler(request)
    except ApplianceError as error:
        return _plain(request, error)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("request failed", extra={logs.PATH: logged_path(request)})
        return web.Response(status=500, text="the server failed; its log says why\n")


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error of our API with a problem document; leave other paths alone."""
    if not request.path.startswith("/api/"):
        return await handler(request)
    request[REQUEST_ID] = secrets.token_hex(8)
    is_ours = not request.path.startswith(f"{NANOHUB}/")
    response = await (_answered(request, handler) if is_ours else handler(request))
    for name, value in _SAFETY.items():
        response.headers.setdefault(name, value)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApplianceError as error:
        if status_of(error, API_STATUS) >= 500 and not isinstance(error, Busy):
            _log(request)
        return problem(error, request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _HTTP_CODES.get(error.status, "request.refused")
        response = _response(request, error.status, code, f"{request.path}: {error.reason}")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:  # the last line: the operator sees the cause, the caller a number
        _log(request)
        return _response(request, 500, "internal", "the server failed; its log says why")


def _plain(request: web.Request, error: ApplianceError) -> web.Response:
    status = status_of(error, API_STATUS)
    fields = {logs.PATH: logged_path(request), logs.STATUS: status, logs.REASON: str(error)}
    logger.warning("request refused", extra=fields)
    # The reason of a failure of ours is for the log; a device or a stranger gets the status.
    text = HTTPStatus(status).phrase if status >= 500 else error.problem
    response = web.Response(status=status, text=f"{text}\n")
    set_retry_after(response, error)
    return response


def _log(request: web.Request) -> None:
    fields = {logs.PATH: logged_path(request), logs.REQUEST_ID: request[REQUEST_ID]}
    logger.exception("request failed", extra=fields)


def _field_errors(error: ApplianceError) -> list[FieldError]:
    if isinstance(error, InvalidRequest) and error.pointer:
        return [FieldError(pointer=error.pointer, detail=error.problem)]
    if isinstance(error, MalformedMessage) and error.key:
        return [FieldError(pointer=f"/{error.key}", detail=error.problem)]
    return []


def _response(
    request: web.Request,
    status: int,
    code: str,
    detail: str,
    *,
    why: str = "",
    hint: str = "",
    errors: list[FieldError] | None = None,
) -> web.Response:
    document = Problem(
        type=f"urn:appliance:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        why=why,
        hint=hint,
        errors=errors or [],
        request_id=request.get(REQUEST_ID, ""),
    )
    body = msgspec.json.encode(document)
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, status=status, content_type=_PROBLEM, headers=headers)
