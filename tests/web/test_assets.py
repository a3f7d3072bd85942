"""Static files: only the known ones, at the address of their content."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from appliance.web.assets import asset_url, assets, static_routes

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A browser and a server of static files."""
    application = web.Application()
    application.add_routes(static_routes())
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize("name", assets())
async def test_file_is_served_to_be_kept_for_ever(client: Client, name: str) -> None:
    answer = await client.get(asset_url(name))

    assert answer.status == 200
    assert await answer.read() == assets()[name].content
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/{digest}/../app.css",
        "/static/{digest}/..%2fapp.css",
        "/static/{digest}/%2e%2e/%2e%2e/etc/passwd",
        "/static/{digest}//etc/passwd",
        "/static/{digest}/%2fetc%2fpasswd",
        "/static/{digest}/APP.CSS",
        "/static/{digest}/app.css.",
        "/static/{digest}/app.css/",
        "/static/{digest}/app.css%00",
        "/static/{digest}/..%5capp.css",
        "/static/{digest}/missing.css",
        "/static/{digest}/",
        "/static/0123456789abcdef/app.css",
        "/static/app.css",
        "/static/",
    ],
)
async def test_c24_any_other_path_is_not_found(client: Client, path: str) -> None:
    digest = assets()["app.css"].digest
    answer = await client.get(URL(path.format(digest=digest), encoded=True))

    assert answer.status == 404


def test_nothing_in_the_style_sheet_or_script_calls_out() -> None:
    for name in ("app.css", "enroll.js"):
        text = assets()[name].content.decode()
        assert "http://" not in text
        assert "https://" not in text
        assert "@import" not in text
        assert "url(" not in text
