"""A person's browser: keeps the session cookie and says where its requests come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from appliance.app import Parts
from appliance.services.sessions import Session
from appliance.web.cookies import SESSION_COOKIE

NAME, PASSWORD = "Aki", "correct horse battery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An answer as the browser got it."""

    status: int
    headers: Any
    text: str

    @property
    def location(self) -> str:
        """Where the browser is sent."""
        return str(self.headers["Location"])


class Browser:
    """Requests of one person; nothing is followed, so that redirects can be looked at.

    aiohttp's own cookie jar keeps back a Secure cookie, as tests speak HTTP.
    """

    def __init__(self, client: TestClient[Request, Application], parts: Parts) -> None:
        self.client = client
        self.parts = parts
        self.cookie: str | None = None

    async def sign_up(self) -> Session:
        """Have an account, and a session in it."""
        accounts = self.parts.services.accounts
        if not await accounts.any_exists():
            await accounts.add_user(NAME, PASSWORD)
        session = await accounts.sign_in(NAME, PASSWORD, None)
        self.cookie = session.token
        return session

    async def session(self) -> Session | None:
        """The session of the cookie, as the server sees it."""
        return await self.parts.services.sessions.find(self.cookie or "")

    async def get(self, path: str, **headers: str) -> Shown:
        """Open a page."""
        return await self.request("GET", path, headers=headers)

    async def submit(self, path: str, form: dict[str, str], **headers: str) -> Shown:
        """Send a form of one of our own pages, with this session's CSRF token if there is one."""
        session = await self.session()
        token = {} if session is None else {"csrf_token": session.csrf_token}
        headers = {"Sec-Fetch-Site": "same-origin", **headers}
        return await self.request("POST", path, data={**token, **form}, headers=headers)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Shown:
        """What a script of our pages does."""
        session = await self.session()
        token = {} if session is None else {"X-CSRF-Token": session.csrf_token}
        headers = {"Sec-Fetch-Site": "same-origin", **token, **headers}
        return await self.request(method, path, json=body, headers=headers)

    async def request(
        self, method: str, path: str, *, headers: dict[str, str], **options: Any
    ) -> Shown:
        """One request with the cookie; keeps the cookie that comes back."""
        if self.cookie is not None:
            headers = {"Cookie": f"{SESSION_COOKIE}={self.cookie}", **headers}
        self.client.session.cookie_jar.clear()
        async with self.client.request(
            method, path, headers=headers, allow_redirects=False, **options
        ) as response:
            given = response.cookies.get(SESSION_COOKIE)
            if given is not None:
                self.cookie = given.value or None
            text = await response.text()
            return Shown(status=response.status, headers=response.headers, text=text)
