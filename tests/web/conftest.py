"""One initialised data directory, copied for each test, with the application on it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import Parts, initialise, open_appliance
from appliance.config import Config, ServerConfig
from appliance.web import site

from .api_client import ApiClient
from .browser import Browser

ALL_SCOPES = ["read", "write", "danger", "secrets", "admin"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `init` leaves it."""
    data = tmp_path_factory.mktemp("template") / "data"
    server = ServerConfig(url="https://mdm.example.com:8443")
    asyncio.run(initialise(Config(data=data, server=server)))
    return data


@pytest.fixture
def config(template: Path, tmp_path: Path) -> Config:
    """The configuration of a fresh copy."""
    shutil.copytree(template, tmp_path / "data")
    config = Config(data=tmp_path / "data", server=ServerConfig(url="https://mdm.example.com:8443"))
    # Nothing may leave this machine: pushes go to a port that nobody serves.
    push = replace(config.push, host="127.0.0.1", port=9, timeout_seconds=1)
    return replace(config, push=push, auth=replace(config.auth, argon2_memory_mib=8))


@pytest.fixture
async def parts(config: Config) -> AsyncIterator[Parts]:
    """All services over that data directory."""
    async with open_appliance(config) as parts:
        yield parts


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """The application behind a socket."""
    application = site.application(
        parts.config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
    )
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.fixture
async def api(client: TestClient[web.Request, web.Application], parts: Parts) -> ApiClient:
    """The application, called with a token that has every scope."""
    _, token = await parts.services.tokens.create("tests", ALL_SCOPES)
    return ApiClient(client, parts, token)


@pytest.fixture
def browser(client: TestClient[web.Request, web.Application], parts: Parts) -> Browser:
    """A browser before the application, of nobody yet: see `Browser.sign_up`."""
    return Browser(client, parts)
