"""Fixtures of the trust rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.fixtures import api, apple, believing, device, other, server
from tests.device.server import Api, RunningServer
from tests.trust.authority import Authority
from tests.trust.backups import saved

__all__ = ["api", "apple", "believing", "device", "other", "saved", "server"]


@pytest.fixture
def authority(api: Api) -> Authority:
    """The certificate authority of the shared server."""
    return Authority(api)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `init` leaves it, its keys plain."""
    server = RunningServer(tmp_path_factory.mktemp("template") / "data")
    server.cli("init", "--url", server.url)
    return server.data
