"""What Apple Configurator asks of a server whose address a person has typed into it."""

from __future__ import annotations

import base64
import json
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.web.enroll import ROOT
from appliance.web.keys import CONFIG

_ANCHORS = "/root.json"


async def service_config(request: web.Request) -> web.Response:
    """GET /MDMServiceConfig: where to find what makes a device trust this server.

    Where MachineInfo goes is not said: that address has the code of a link in it, which is the
    administrator's to give. Nor is there anything to trust where the certificate is of elsewhere.
    """
    server = request.app[CONFIG].server
    if server.tls_certificate:
        return _json({})
    document = {
        "trust_profile_url": f"{server.base_url}/trust.mobileconfig",
        "dep_anchor_certs_url": f"{server.base_url}{_ANCHORS}",
    }
    return _json(document)


async def anchors(request: web.Request) -> web.Response:
    """GET /root.json: the trust anchor in Apple's form, a list of base64."""
    der = request.app[ROOT].public_bytes(Encoding.DER)
    return _json([base64.b64encode(der).decode()])


def _json(document: Any) -> web.Response:
    text = json.dumps(document)
    return web.Response(text=text, content_type="application/json", charset="UTF8")


def routes() -> list[web.RouteDef]:
    """Return the routes; they say nothing that a device would not be told."""
    return [web.get("/MDMServiceConfig", service_config), web.get(_ANCHORS, anchors)]
