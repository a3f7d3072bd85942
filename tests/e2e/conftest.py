"""Fixtures of the stories."""

from __future__ import annotations

from tests.device.fixtures import api, device, other, server

__all__ = ["api", "device", "other", "server"]
