"""Fixtures of the trust rows."""

from __future__ import annotations

import pytest

from tests.device.fixtures import api, device, other, server
from tests.device.server import Api
from tests.trust.authority import Authority

__all__ = ["api", "device", "other", "server"]


@pytest.fixture
def authority(api: Api) -> Authority:
    """The certificate authority of the shared server."""
    return Authority(api)
