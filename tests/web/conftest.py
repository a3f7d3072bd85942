"""One initialised data directory, copied for each test, with the application on it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.app import initialise, open_appliance
from appliance.config import Config, ServerConfig
from appliance.web import site

from .api_client import ApiClient

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
    return replace(config, push=replace(config.push, host="127.0.0.1", port=9, timeout_seconds=1))


@pytest.fixture
async def api(config: Config) -> AsyncIterator[ApiClient]:
    """The application, called with a token that has every scope."""
    async with open_appliance(config) as parts:
        application = site.application(
            config, parts.services, root=parts.keys.root_certificate, admin=True, devices=True
        )
        _, token = await parts.services.tokens.create("tests", ALL_SCOPES)
        async with TestClient(TestServer(application)) as client:
            yield ApiClient(client, parts, token)
