"""What Apple Configurator is told about this server."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web
from cryptography import x509

from appliance.web.configurator import service_config
from appliance.web.keys import CONFIG

from .api_client import ApiClient


async def test_it_finds_what_makes_a_device_trust_the_server(api: ApiClient) -> None:
    async with api.client.get("/MDMServiceConfig") as response:
        assert response.headers["Content-Type"] == "application/json; charset=UTF8"
        told: dict[str, str] = await response.json()
    assert {urlsplit(url).netloc for url in told.values()} == {"mdm.example.com:8443"}
    async with api.client.get(urlsplit(told["trust_profile_url"]).path) as response:
        assert response.content_type == "application/x-apple-aspen-config"
    async with api.client.get(urlsplit(told["dep_anchor_certs_url"]).path) as response:
        (anchor,) = await response.json()
    root = x509.load_der_x509_certificate(base64.b64decode(anchor))
    assert root == api.parts.keys.root_certificate


async def test_a_certificate_of_elsewhere_needs_no_trust_of_ours(api: ApiClient) -> None:
    config = api.parts.config
    own = replace(config.server, tls_certificate="/tls.pem", tls_key="/tls.key")
    request: Any = SimpleNamespace(app={CONFIG: replace(config, server=own)})
    response = await service_config(cast("web.Request", request))
    assert json.loads(response.text or "") == {}
