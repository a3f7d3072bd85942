"""The session cookie, and how to tell a request of our own pages from another site's."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

# The prefix makes the browser insist on Secure and Path=/, so no neighbor can set it.
SESSION_COOKIE = "__Host-appliance"
LIVE_STREAM = "/api/v1/events"
UNATTENDED = "X-Unattended"  # what a page of ours sends with what it fetches by itself
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def session_token(request: web.Request) -> str | None:
    """Return what the session cookie holds, None without one."""
    return cookie(request, SESSION_COOKIE)


def cookie(request: web.Request, name: str) -> str | None:
    """Return what one of our cookies holds, None without it or with nothing in it.

    aiohttp reads all cookies as liberally as a browser: 60 KB of them took a fifth of a second.
    """
    for header in request.headers.getall("Cookie", ()):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                return value.strip().strip('"') or None
    return None


def is_attended(request: web.Request) -> bool:
    """Tell whether a person is behind a request, and not a page that was left open."""
    return request.path != LIVE_STREAM and UNATTENDED not in request.headers


def set_session(response: web.StreamResponse, token: str) -> None:
    """Give the browser a session until it is closed; the server ends it sooner."""
    response.set_cookie(
        SESSION_COOKIE, token, path="/", secure=True, httponly=True, samesite="Strict"
    )


def clear_session(response: web.StreamResponse) -> None:
    """Make the browser forget the session."""
    response.del_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")


def is_same_origin(request: web.Request) -> bool:
    """Tell whether the browser says that one of our own pages made the request.

    A page cannot set either field (Fetch, "forbidden request-header"). A form or a change without
    both comes from no browser, so nobody else's page can be behind it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("Origin") in (None, f"https://{request.host}")


def is_foreign(request: web.Request) -> bool:
    """Tell whether a script or form of another host made the request."""
    origin = request.headers.get("Origin")
    if origin is None or request.headers.get("Sec-Fetch-Site") == "same-origin":
        return False
    return host_of(origin) != host_of(f"//{request.host}")


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, "" where there is none."""
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""
