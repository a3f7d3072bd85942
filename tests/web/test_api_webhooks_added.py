"""Receivers that are added by command: who may, what is shown once, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from appliance.config import Config
from appliance.config.webhook import WebhookConfig
from appliance.services import receivers as module
from tests.device.receiver import Receiver, receiver, receiving

from .api_client import ApiClient
from .test_api_webhooks import say

__all__ = ["receiver"]

_HIDDEN = "hidden-in-the-address"
_PATH = "/api/v1/webhooks"


@pytest.fixture
def config(config: Config) -> Config:
    """One receiver stands in the configuration, where nobody listens."""
    return replace(config, webhook=WebhookConfig(urls=("http://127.0.0.1:9/",), timeout="2s"))


@pytest.fixture
async def added(api: ApiClient, receiver: Receiver) -> dict[str, Any]:
    """What was answered to whoever added the receiver."""
    await api.parts.services.webhooks.senders.begin()
    url = receiver.url.replace("//", f"//name:{_HIDDEN}@") + f"?key={_HIDDEN}"
    answer = await api.call("POST", _PATH, {"url": url})
    assert answer.status == 201, answer
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json
    return found


def signs(received: Any, secrets: Sequence[str]) -> bool:
    """Whether the request has the signature of each of the secrets, and no more."""
    head = received.headers
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + received.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    expected = [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys
    ]
    return bool(head["webhook-signature"].split(" ") == expected)


async def test_it_is_told_what_devices_say_and_its_secret_is_shown_once(
    api: ApiClient, added: dict[str, Any], receiver: Receiver
) -> None:
    assert (await api.call("POST", f"{_PATH}/{added['id']}/test")).json["taken"]
    assert signs(receiver.received[0], [added["secret"]])
    await say(api)
    shown = await api.call("GET", _PATH)
    assert [(item["added"], item["waiting"]) for item in shown.json["items"]] == [
        (False, 1), (True, 1),
    ]  # fmt: skip
    assert shown.json["items"][1]["url"] == added["url"] == f"{receiver.url}?…"
    assert added["secret"] not in shown.text
    for name in ("appliance.db", "appliance.db-wal"):
        stored = api.parts.directory.database.with_name(name).read_bytes()
        assert _HIDDEN.encode() not in stored
        assert added["secret"].encode() not in stored


async def test_after_a_rotation_the_former_secret_signs_for_a_day_as_well(
    api: ApiClient, added: dict[str, Any], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{_PATH}/{added['id']}"
    rotated = (await api.call("POST", f"{path}/rotate", {})).json
    assert rotated["secret"] != added["secret"]
    assert rotated["former_until"] is not None
    await api.call("POST", f"{path}/test")
    assert signs(receiver.received[0], [rotated["secret"], added["secret"]])
    monkeypatch.setattr(module, "FORMER_KEY_STAYS_MS", 0)
    own = base64.b64encode(b"a secret of one's own").decode()
    last = (await api.call("POST", f"{path}/rotate", {"secret": f"whsec_{own}"})).json
    assert last["secret"] == f"whsec_{own}"
    await api.call("POST", f"{path}/test")
    assert signs(receiver.received[1], [last["secret"]])


async def test_one_that_is_removed_is_forgotten_with_what_waits(
    api: ApiClient, added: dict[str, Any], receiver: Receiver
) -> None:
    for _ in range(600):
        await say(api)
    path = f"{_PATH}/{added['id']}"
    assert (await api.call("DELETE", path)).status == 204
    for method, gone in (("DELETE", path), ("POST", f"{path}/test"), ("POST", f"{path}/rotate")):
        assert (await api.call(method, gone, {} if method == "POST" else None)).status == 404
    await say(api)
    with api.database() as db:
        rows = db.execute("SELECT DISTINCT webhook_id FROM webhook_deliveries").fetchall()
        assert len(rows) == 1
        assert db.execute("SELECT count(*) FROM webhook_receivers").fetchone() == (0,)
        kinds = db.execute("SELECT kind FROM events WHERE kind LIKE 'webhook.%'").fetchall()
    assert kinds == [("webhook.added",), ("webhook.removed",)]
    assert receiver.received == []
    again = await api.call("POST", _PATH, {"url": receiver.url})
    assert again.status == 201


@pytest.mark.parametrize(
    "url",
    [
        "", "host/path", "ftp://host/", "file:///etc/passwd", "http://", "http://host:0/",
        "http://host/#part", f"http://host/{_HIDDEN} x", f"http://[{_HIDDEN}", "http://hÖst/",
        "http://host/" + "x" * 2048,
    ],
)  # fmt: skip
async def test_an_address_that_is_none_is_refused_and_not_repeated(
    api: ApiClient, url: str
) -> None:
    answer = await api.call("POST", _PATH, {"url": url})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/url")
    assert _HIDDEN not in answer.text


@pytest.mark.parametrize("secret", ["short", "whsec_!", "whsec_c2hvcnQ="])
async def test_a_secret_that_is_none_is_refused(
    api: ApiClient, added: dict[str, Any], secret: str
) -> None:
    for path in (_PATH, f"{_PATH}/{added['id']}/rotate"):
        body = {"secret": secret, **({"url": "http://a/"} if path == _PATH else {})}
        answer = await api.call("POST", path, body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/secret")


async def test_one_that_is_there_or_stands_in_the_configuration_is_not_changed(
    api: ApiClient, added: dict[str, Any], receiver: Receiver
) -> None:
    for url in ("http://127.0.0.1:9/", receiver.url):
        first = await api.call("POST", _PATH, {"url": url})
        second = await api.call("POST", _PATH, {"url": url})
        assert (second.status, second.json["code"]) == (409, "webhook.exists"), first
    configured = (await api.call("GET", _PATH)).json["items"][0]["id"]
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        body: dict[str, str] | None = {} if method == "POST" else None
        answer = await api.call(method, f"{_PATH}/{configured}{path}", body)
        assert (answer.status, answer.json["code"]) == (409, "webhook.configured")


async def test_there_are_ten_at_most(api: ApiClient, added: dict[str, Any]) -> None:
    answers = [await api.call("POST", _PATH, {"url": f"http://a/{number}"}) for number in range(9)]
    assert [one.status for one in answers] == [201] * 8 + [422]


async def test_only_administrators_may(api: ApiClient, added: dict[str, Any]) -> None:
    path = f"{_PATH}/{added['id']}"
    for scopes in (["read"], ["write", "danger", "secrets"]):
        token = await api.new_token(*scopes)
        for method, where in (("POST", _PATH), ("POST", f"{path}/rotate"), ("DELETE", path)):
            body = {"url": "http://a/"} if where == _PATH else {} if method == "POST" else None
            assert (await api.call(method, where, body, token=token)).status == 403


async def test_f06_one_that_is_added_is_guarded_as_all_are(
    api: ApiClient, added: dict[str, Any], receiver: Receiver
) -> None:
    for host in ("169.254.169.254", "[::ffff:169.254.169.254]", "224.0.0.1"):
        id_ = (await api.call("POST", _PATH, {"url": f"http://{host}/"})).json["id"]
        sent = (await api.call("POST", f"{_PATH}/{id_}/test")).json
        assert not sent["taken"]
        assert "is no address of a receiver" in sent["problem"]
    with receiving() as elsewhere:
        receiver.behave = lambda handler: _redirect(handler, elsewhere.url)
        sent = (await api.call("POST", f"{_PATH}/{added['id']}/test")).json
        assert (sent["taken"], sent["answer"]) == (False, 307)
        assert elsewhere.received == []


def _redirect(handler: Any, url: str) -> None:
    handler.send_response(307)
    handler.send_header("Location", url)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
