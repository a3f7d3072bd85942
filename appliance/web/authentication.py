"""Who may use the administrator's interfaces: networks, host names, origins, tokens, scopes."""

from __future__ import annotations

import base64
import socket
import time
from collections import OrderedDict
from ipaddress import ip_address, ip_network

from aiohttp import web

from appliance.config import Config
from appliance.errors import AccessRefused, InvalidRequest, NotAuthenticated, ScopeMissing, TooMany
from appliance.services.sessions import Session
from appliance.services.tokens import SCOPES, Caller
from appliance.web import csrf
from appliance.web.addresses import remote_address, within
from appliance.web.cookies import (
    SAFE_METHODS,
    host_of,
    is_attended,
    is_foreign,
    is_same_origin,
    session_token,
)
from appliance.web.errors import Handler
from appliance.web.keys import SERVICES

CALLER = web.RequestKey("caller", Caller)
SESSION = web.RequestKey("session", Session)
LOCAL_ADMINISTRATOR = Caller(name="local administrator", scopes=frozenset(SCOPES))

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_BASIC_USERS = frozenset({"nanomdm", "nanohub", "micromdm", "kmfddm", "nanocmd"})
_TOKEN_PARAMETERS = ("token", "access_token", "api_key", "apikey")
_MOST_BUCKETS = 10_000


class RateLimit:
    """A bucket per name that holds one second's worth of calls and refills steadily."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Count one call.

        Raises:
            TooMany: the bucket of `name` is empty.
        """
        left, at = self._buckets.pop(name, (float(self._per_second), now))
        left = min(float(self._per_second), left + (now - at) * self._per_second)
        self._buckets[name] = (max(left - 1, 0.0), now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if left < 1:
            raise TooMany(f"more than {self._per_second} calls a second", retry_after_seconds=1)


class Gate:
    """What a request must pass before a handler of the administrator's interfaces sees it."""

    def __init__(self, config: Config) -> None:
        self._hosts = _LOOPBACK_NAMES | {config.server.host.lower()}
        self._allowed = [ip_network(network) for network in config.server.admin_allow]
        self._exempt = [ip_network(network) for network in config.limits.exempt]
        self._dangerous_per_hour = config.limits.dangerous_per_hour
        self._rate = RateLimit(config.limits.api_per_second)

    def admit(self, request: web.Request) -> None:
        """Check from where and under which name the server is asked.

        Raises:
            AccessRefused: a network outside `server.admin_allow`, a Host that is not ours (a
                rebound DNS name), or a script of another site.
        """
        if is_local(request):
            return
        if not within(remote_address(request), self._allowed):
            raise AccessRefused(
                "this address may not use the administrator's interfaces",
                fix="add its network to server.admin_allow",
            )
        if not self._is_ours(host_of(f"//{request.host}")):
            raise AccessRefused(
                "the Host header names another server",
                fix="use the host of server.url, localhost, or an IP address",
            )
        if is_foreign(request):
            raise AccessRefused("a page of another site may not call this server")

    def danger_quota(self, request: web.Request) -> int | None:
        """Return how many dangerous commands the caller may order in an hour; None: uncounted."""
        if is_local(request) or within(remote_address(request), self._exempt):
            return None
        return self._dangerous_per_hour

    async def caller(self, request: web.Request, *, sessions: bool = True) -> Caller:
        """Return who calls, once admitted and within the rate limit.

        Args:
            sessions: without a token, a session cookie of the page will do.

        Raises:
            NotAuthenticated: no token or session, or one that is not valid.
            AccessRefused: a session would change something, and the page's proof is missing.
            InvalidRequest: a token in the query, where logs and histories would keep it.
            TooMany: over `limits.api_per_second`.
        """
        self.admit(request)
        if is_local(request):
            return LOCAL_ADMINISTRATOR
        for parameter in _TOKEN_PARAMETERS:
            if parameter in request.query:
                raise InvalidRequest(
                    "a token does not belong in a URL",
                    code="auth.token_in_query",
                    pointer=f"?{parameter}",
                    why="URLs are logged and remembered; revoke this token",
                    fix="send the header Authorization: Bearer TOKEN",
                )
        authorization = request.headers.get("Authorization", "")
        cookie = session_token(request) if sessions and not authorization else None
        if cookie is not None:
            caller = await _session_caller(request, cookie)
            bucket = f"session of {caller.name}"
        else:
            services = request.app[SERVICES]
            caller = await services.tokens.authenticate(presented_token(authorization))
            bucket = caller.name
        if not within(remote_address(request), self._exempt):
            self._rate.take(bucket, time.monotonic())
        return caller

    async def require(self, request: web.Request, scope: str, *, sessions: bool = True) -> Caller:
        """Return who calls, if the token has `scope`; whoever signed in has them all.

        Raises:
            ScopeMissing: it has not; and whatever `caller` raises.
        """
        caller = await self.caller(request, sessions=sessions)
        if scope not in caller.scopes:
            raise ScopeMissing(
                f"this needs the scope {scope}",
                why=f"the token {caller.name!r} has {', '.join(sorted(caller.scopes))}",
                fix=f"use a token made with `appliance token create NAME --scope {scope}`",
            )
        return caller

    def open(self, handler: Handler) -> Handler:
        """Return `handler` for every caller that is admitted, with a token or without."""

        async def admitted(request: web.Request) -> web.StreamResponse:
            self.admit(request)
            return await handler(request)

        return admitted

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts or host.endswith(".localhost"):
            return True
        try:
            ip_address(host)
        except ValueError:
            return False
        return True  # no DNS name, so nothing that could be rebound


GATE = web.AppKey("gate", Gate)


def is_local(request: web.Request) -> bool:
    """Tell whether the request came through `run/api.sock`, which only its owner can open."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


async def _session_caller(request: web.Request, cookie: str) -> Caller:
    session = await request.app[SERVICES].sessions.find(cookie, attended=is_attended(request))
    if session is None:
        raise NotAuthenticated("the session has ended", fix="sign in again at /login")
    if request.method not in SAFE_METHODS:
        given = request.headers.get("X-CSRF-Token", "")
        if not is_same_origin(request) or not csrf.matches(given, session.csrf_token):
            raise AccessRefused(
                "a session changes something only from its own page",
                why="the header X-CSRF-Token is missing or of another session",
                fix="programs use a token: `appliance token create NAME`",
            )
    request[SESSION] = session
    return session.caller


def presented_token(authorization: str) -> str:
    """Return the token of a Bearer or Basic `Authorization` header.

    Raises:
        NotAuthenticated: there is none.
    """
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:  # no base64, or no text
            user, password = "", ""
        if user in _BASIC_USERS and password:
            return password
    raise NotAuthenticated(
        "this needs a token",
        fix="make one with `appliance token create NAME` and send Authorization: Bearer TOKEN",
    )
