"""Fixtures of the stories."""

from __future__ import annotations

from tests.device.fixtures import api, apple, believing, device, other, server

__all__ = ["api", "apple", "believing", "device", "other", "server"]
