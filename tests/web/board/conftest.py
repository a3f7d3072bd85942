"""A signed-in browser before an application with one device."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import FormData

from tests.web.api_client import ApiClient
from tests.web.browser import Browser


class Office:
    """A person at the board, and the devices of the office."""

    def __init__(self, browser: Browser, api: ApiClient) -> None:
        self.browser = browser
        self.api = api

    async def open(self, path: str) -> str:
        """The page at `path`, which is there."""
        shown = await self.browser.get(path)
        assert shown.status == 200, shown
        return shown.text

    async def send(self, device: str, request_type: str, **form: str) -> Any:
        """Press the button of a command's form, which is sent as a browser sends it."""
        session = await self.browser.session()
        assert session is not None
        fields = FormData(quote_fields=False, default_to_multipart=True)
        for name, value in {"csrf_token": session.csrf_token, "how": "form", **form}.items():
            fields.add_field(f"key:{name}" if name.startswith("/") else name, value)
        path, headers = f"/devices/{device}/send/{request_type}", {"Sec-Fetch-Site": "same-origin"}
        return await self.browser.request("POST", path, data=fields, headers=headers)

    def commands(self) -> list[tuple[str, str, str]]:
        """Request type, status and UUID of every command."""
        with self.api.database() as db:
            rows = db.execute("SELECT request_type, status, uuid FROM commands ORDER BY id")
            return [tuple(row) for row in rows]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The data of every event of one kind."""
        with self.api.database() as db:
            rows = db.execute("SELECT data FROM events WHERE kind = ? ORDER BY id", (kind,))
            return [json.loads(data) for (data,) in rows]


@pytest.fixture
async def office(browser: Browser, api: ApiClient) -> Office:
    """One Mac called `one`, and a person who has signed in."""
    await browser.sign_up()
    api.enroll("one")
    return Office(browser, api)
