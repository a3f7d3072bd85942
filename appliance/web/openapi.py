"""The OpenAPI 3.1 description of the API, and a page that shows it without any script."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from appliance import __version__
from appliance.config import Config
from appliance.web.api import OPERATIONS
from appliance.web.api.operation import IDEMPOTENCY_KEY, Operation
from appliance.web.authentication import Gate
from appliance.web.errors import Problem

_JSON = "application/json"
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "overflow-wrap:anywhere;color-scheme:light dark;background:light-dark(#f7f6f3,#131318);"
    "color:light-dark(#1d1c21,#ededf1)}"
    "a{display:inline-block;min-height:24px;color:light-dark(#3547c8,#a5b0ff)}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;"
    "vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}"
    "code{font:14px ui-monospace,monospace;overflow-wrap:anywhere}"
    "@media(max-width:48rem){tr,td,th{display:block;border:0;padding:0}"
    "tr{border-bottom:1px solid #8884;padding:.5rem 0}tr:has(th){display:none}}"
)
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


@cache
def document() -> dict[str, Any]:
    """Return the description, made from the route table and the msgspec types."""
    types = [
        kind for op in OPERATIONS for kind in (op.query, op.body, op.answer) if _is_model(kind)
    ]
    _, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "appliance",
            "version": __version__,
            "description": "An Apple MDM server. Errors are problem documents (RFC 9457).",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "problem": {
                    "description": "What went wrong, why, and how to fix it",
                    "content": {"application/problem+json": {"schema": _schema(Problem)}},
                }
            },
        },
        "security": [{"token": []}],
    }


@cache
def page() -> str:
    """Return the documentation as one HTML page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>API</title>",
        f"<style>{_STYLE}</style><main><h1>API</h1>",
        "<p>Send <code>Authorization: Bearer TOKEN</code>; <code>appliance token create NAME"
        "</code> makes one. <a href=/api/openapi.json>OpenAPI 3.1</a></p>",
        "<table><tr><th>Request<th>Does<th>Scope<th>Body<th>Answer",
    ]
    for operation in OPERATIONS:
        cells = (
            f"<code>{operation.method} {html.escape(operation.path)}</code>",
            html.escape(operation.summary),
            operation.scope,
            _link(operation.body),
            f"{operation.status} {_link(operation.answer)}",
        )
        parts.append(f"<tr><td>{'<td>'.join(cells)}")
    parts.append("</table><h2>Types</h2>")
    for name, schema in document()["components"]["schemas"].items():
        parts.append(f"<h3 id={name}>{name}</h3><p>{html.escape(schema.get('description', ''))}")
        parts += _fields(schema)
    return "".join(parts)


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "description": f"Needs the scope `{operation.scope}`.",
        "tags": [operation.path.split("/")[3]],
        "parameters": _parameters(operation),
        "responses": {
            str(operation.status): _response(operation),
            "default": {"$ref": "#/components/responses/problem"},
        },
    }
    if operation.body is not None:
        content = {_JSON: {"schema": _schema(operation.body)}}
        content |= {media_type: {"schema": {"type": "string"}} for media_type in operation.raw}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _operation_id(operation: Operation) -> str:
    module = operation.handler.__module__.rpartition(".")[2]
    return f"{module}_{operation.handler.__name__}"


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.query is not None:
        parameters += [
            {"name": field.name, "in": "query", "schema": _schema(field.type)}
            for field in msgspec.structs.fields(operation.query)
        ]
    if operation.repeatable:
        parameters.append({
            "name": IDEMPOTENCY_KEY, "in": "header",
            "description": "Sent again with the same body within a day, it is done once and "
            "answered the same",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        })  # fmt: skip
    return parameters


def _response(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"description": "done"}
    if operation.answer is bytes:
        schema: dict[str, Any] = {}
    else:
        schema = _schema(operation.answer)
    return {
        "description": "done",
        "content": {operation.content_type: {"schema": schema}},
    }


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _is_model(kind: Any) -> bool:
    return kind is not None and kind is not bytes


def _link(kind: Any) -> str:
    if not _is_model(kind):
        return ""
    name = str(_schema(kind).get("$ref", "")).rpartition("/")[2]
    return f"<a href=#{name}>{name}</a>"


def _fields(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required", [])
    rows = [
        f"<tr><td><code>{name}</code><td><code>{html.escape(_brief(field))}</code>"
        f"<td>{'required' if name in required else ''}"
        for name, field in schema.get("properties", {}).items()
    ]
    return ["<table>", *rows, "</table>"]


def _brief(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " | ".join(_brief(choice) for choice in field["anyOf"])
    kind = str(field.get("format") or field.get("type") or "any")
    items = field.get("items")
    return f"{kind} of {_brief(items)}" if items else kind


async def serve_document(request: web.Request) -> web.Response:
    """GET /api/openapi.json."""
    return web.Response(body=msgspec.json.encode(document()), content_type=_JSON)


async def serve_page(request: web.Request) -> web.Response:
    """GET /api/docs."""
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; "
        "frame-ancestors 'none'"
    }
    return web.Response(text=page(), content_type="text/html", headers=headers)


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes; no token is needed, but an address that `server.admin_allow` has."""
    gate = Gate(config)
    return [
        web.get("/api/openapi.json", gate.open(serve_document)),
        web.get("/api/docs", gate.open(serve_page)),
    ]
