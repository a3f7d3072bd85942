"""A data directory, made once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from appliance.app import initialise
from appliance.config import Config


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `init` leaves it, with a server certificate in use."""
    data = tmp_path_factory.mktemp("template") / "data"
    asyncio.run(initialise(Config(data=data)))
    return data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A fresh copy of it."""
    shutil.copytree(template, tmp_path / "data")
    return tmp_path / "data"
