"""Webhooks: nothing without receivers, and a start that refuses files it cannot use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.config.webhook import WebhookConfig
from appliance.errors import ConfigError
from appliance.services.senders import Senders
from appliance.services.vault import Vault
from appliance.services.webhooks import WebhookService
from appliance.store.database import Database

VAULT = Vault(bytes(32))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    database = await Database.open(tmp_path / "appliance.db")
    yield database
    await database.close()


async def test_without_receivers_nothing_is_kept(database: Database) -> None:
    senders = Senders(database, WebhookConfig(), VAULT)
    service = WebhookService(database, senders)
    await senders.begin()
    assert (service.enabled, list(senders)) == (False, [])
    assert await service.listing() == []


@pytest.mark.parametrize("content", ["short", "whsec_!", "whsec_c2hvcnQ="])
async def test_a_secret_that_is_none_stops_the_start(
    database: Database, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "secret"
    with pytest.raises(ConfigError, match=r"webhook\.secret_file"):
        Senders(database, WebhookConfig(urls=("http://a/",), secret_file=str(file)), VAULT)
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"webhook\.secret_file"):
        Senders(database, WebhookConfig(urls=("http://a/",), secret_file=str(file)), VAULT)
    with pytest.raises(ConfigError, match=r"webhook\.ca_file"):
        Senders(database, WebhookConfig(urls=("http://a/",), ca_file=str(file)), VAULT)
