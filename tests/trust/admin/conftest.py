"""The application of the web tests: on a data directory of its own for each test."""

from __future__ import annotations

from tests.web.conftest import api, browser, client, config, parts, template

__all__ = ["api", "browser", "client", "config", "parts", "template"]
