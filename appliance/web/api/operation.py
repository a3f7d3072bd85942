"""One entry of the API's route table, and how a request becomes typed values and an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from appliance.errors import InvalidRequest
from appliance.services import Services, repeats
from appliance.services.tokens import Caller
from appliance.web.authentication import CALLER, Gate
from appliance.web.bodies import read_body
from appliance.web.errors import MalformedBody
from appliance.web.keys import CONFIG, SERVICES

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

IDEMPOTENCY_KEY = "Idempotency-Key"

_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `([^`]*)`")
_PLACE = re.compile(r" - at `\$([^`]*)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method on a path: who may call it, what goes in and what comes out.

    `query`, `body` and `answer` are the types of `schema.py`; None means nothing is there. A
    `repeatable` one takes an `Idempotency-Key`. `raw` are media types that are taken in place
    of JSON.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    scope: str = "read"
    query: Any = None
    body: Any = None
    raw: tuple[str, ...] = ()
    answer: Any = None
    status: int = 200
    content_type: str = "application/json"
    repeatable: bool = False

    def route(self, gate: Gate) -> web.RouteDef:
        """Return the aiohttp route; its handler runs behind `gate`."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            request[CALLER] = await gate.require(request, self.scope)
            return await self.handler(request)

        guarded.__doc__ = self.summary
        return web.route(self.method, self.path, guarded)


def services_of(request: web.Request) -> Services:
    """Return what handlers call."""
    return request.app[SERVICES]


def caller_of(request: web.Request) -> Caller:
    """Return who was let in."""
    return request[CALLER]


async def raw_body_of(request: web.Request) -> bytes:
    """Return the body as it came, within the largest limit there is.

    Raises:
        TooLarge, MalformedMessage: as `read_body`.
    """
    return await read_body(request, request.app[CONFIG].limits.result_body_kib * 1024)


async def repeatable_body_of(
    request: web.Request, expected: type[T]
) -> tuple[T, repeats.Request | None]:
    """Return the JSON body, and what its `Idempotency-Key` stands for, None if it has none.

    Raises:
        MalformedBody, InvalidRequest: as `body_of`; or a key that cannot be one.
    """
    raw = await raw_body_of(request)
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return decode_body(raw, expected), None
    content = f"{request.method} {request.path}\n".encode() + raw
    repeat = repeats.Request(caller=caller_of(request).name, key=key, content=content)
    return decode_body(raw, expected), repeat


async def body_of(request: web.Request, expected: type[T]) -> T:
    """Return the JSON body as `expected`; an empty body counts as `{}`.

    Raises:
        MalformedBody: not JSON.
        InvalidRequest: JSON of another shape; `pointer` names the field.
    """
    return decode_body(await raw_body_of(request), expected)


def decode_body(raw: bytes, expected: type[T]) -> T:
    """Return the JSON in `raw` as `expected`; raises as `body_of`."""
    try:
        return msgspec.json.decode(raw or b"{}", type=expected)
    except msgspec.ValidationError as error:
        raise _invalid(error, "") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody("the body is not JSON", why=str(error)) from error


def query_of(request: web.Request, expected: type[T]) -> T:
    """Return the query as `expected`.

    Raises:
        InvalidRequest: an unknown parameter, or a value out of range; `pointer` names it.
    """
    try:
        return msgspec.convert(dict(request.query), expected, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, "?") from error


def answer(value: Any, *, status: int = 200, secret: bool = False) -> web.Response:
    """Return `value` as JSON; a `secret` one is marked so that nothing keeps it."""
    headers = {"Cache-Control": "no-store" if secret else "no-cache"}
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _invalid(error: msgspec.ValidationError, prefix: str) -> InvalidRequest:
    message = str(error)
    place = _PLACE.search(message)
    pointer = "" if place is None else _pointer(place[1])
    field = _UNKNOWN_FIELD.search(message) or _MISSING_FIELD.search(message)
    if field is not None:
        pointer += f"/{field[1]}"
    problem = _PLACE.sub("", message)
    name = pointer.strip("/").replace("/", ".")
    if prefix:
        pointer = prefix + name
    return InvalidRequest(f"{name}: {problem}" if name else problem, pointer=pointer)


def _pointer(path: str) -> str:
    """Turn msgspec's `.targets[0]` into RFC 6901's `/targets/0`."""
    return re.sub(r"\[([^\]]*)\]", r"/\1", path).replace(".", "/")
