"""The OpenAPI file against the routes, the standard, and the answers."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp.web import Application
from openapi_spec_validator import validate

from appliance.web.openapi import document, page

from .api_client import ApiClient


def _routes(application: Application) -> set[tuple[str, str]]:
    found = set()
    for route in application.router.routes():
        path = route.resource.canonical if route.resource else ""
        if path.startswith("/api/v1/") and not path.startswith("/api/v1/nanomdm/"):
            if route.method == "HEAD":  # aiohttp adds it to every GET
                continue
            found.add((route.method, path))
    return found


async def test_every_route_is_described_and_every_description_is_a_route(api: ApiClient) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert api.client.app is not None
    assert described == _routes(api.client.app)


def test_the_document_follows_openapi_3_1() -> None:
    described = json.loads(json.dumps(document()))
    assert described["openapi"].startswith("3.1")
    validate(described)


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document())):
        assert name in schemas


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for operations in document()["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))


async def test_answers_have_the_fields_that_are_described(api: ApiClient) -> None:
    api.enroll("one")
    body = {"targets": ["one"], "request_type": "ProfileList"}
    command = (await api.call("POST", "/api/v1/commands", body)).json["commands"][0]["id"]
    await api.call("POST", "/api/v1/enrollment-links", {})
    for path, concrete in (
        ("/api/v1/devices", "/api/v1/devices"),
        ("/api/v1/devices/{id}", "/api/v1/devices/one"),
        ("/api/v1/devices/{id}/commands", "/api/v1/devices/one/commands"),
        ("/api/v1/devices/{id}/events", "/api/v1/devices/one/events"),
        ("/api/v1/commands/{uuid}", f"/api/v1/commands/{command}"),
        ("/api/v1/command-types", "/api/v1/command-types"),
        ("/api/v1/enrollment-links", "/api/v1/enrollment-links"),
        ("/api/v1/tokens", "/api/v1/tokens"),
        ("/api/v1/push-certificate", "/api/v1/push-certificate"),
        ("/api/v1/certificate-authority", "/api/v1/certificate-authority"),
        ("/api/v1/status", "/api/v1/status"),
        ("/api/v1/webhooks", "/api/v1/webhooks"),
    ):
        answer = (await api.call("GET", concrete)).json
        content = document()["paths"][path]["get"]["responses"]["200"]["content"]
        conforms(answer, content["application/json"]["schema"], path)


def test_a_push_certificate_is_described_as_pem_too() -> None:
    operation = document()["paths"]["/api/v1/push-certificate"]["put"]
    assert operation["requestBody"]["content"]["application/x-pem-file"]["schema"]


async def test_document_and_page_are_served_without_a_token(api: ApiClient) -> None:
    served = await api.call("GET", "/api/openapi.json", token=None)
    assert served.json == json.loads(json.dumps(document()))
    shown = await api.call("GET", "/api/docs", token=None)
    assert "<script" not in shown.text
    for path in document()["paths"]:
        assert path in page()


def conforms(value: Any, schema: dict[str, Any], where: str) -> None:
    """Compare an answer with its description."""
    schemas = document()["components"]["schemas"]
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        assert isinstance(value, dict), where
        assert set(schema.get("required", ())) <= set(value), where
        assert set(value) <= set(schema["properties"]), where
        for name, field in schema["properties"].items():
            if name in value:
                conforms(value[name], field, f"{where}.{name}")
    elif "items" in schema and isinstance(value, list):
        for item in value:
            conforms(item, schema["items"], f"{where}[]")
