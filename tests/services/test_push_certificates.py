"""What becomes of the Apple Account that is noted beside a push certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.services.push_certificates import PushCertificates
from appliance.services.vault import Vault
from appliance.store.database import Database
from appliance.wire.certificates import KeyPair, load_pair
from tests.device.server import lab_push_certificate

TOPIC, OTHER = "com.apple.mgmt.External.one", "com.apple.mgmt.External.two"
ACCOUNT = "it@example.com"


@pytest.fixture
async def push(tmp_path: Path) -> AsyncIterator[PushCertificates]:
    """A store with a push certificate and the account that made it."""
    database = await Database.open(tmp_path / "appliance.db")
    push = PushCertificates(database, Vault(bytes(32)), "")
    await push.store(_pair(TOPIC), replace_topic=None, account=ACCOUNT)
    yield push
    await database.close()


@pytest.mark.parametrize(
    ("topic", "account", "noted"),
    [
        (TOPIC, None, ACCOUNT),
        (TOPIC, "", ""),
        (TOPIC, "new@example.com", "new@example.com"),
        (OTHER, None, ""),
        (OTHER, "new@example.com", "new@example.com"),
    ],
)
async def test_a_renewal_keeps_the_account_that_was_noted(
    push: PushCertificates, topic: str, account: str | None, noted: str
) -> None:
    await push.store(_pair(topic), replace_topic=None, account=account)
    status = await push.status()
    assert (status.topic, status.account) == (topic, noted)


def _pair(topic: str) -> KeyPair:
    return load_pair(lab_push_certificate(topic).pem)
