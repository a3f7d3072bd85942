"""The API of webhooks: who may use it, what it shows, and what it never shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.config import Config
from appliance.config.webhook import WebhookConfig
from appliance.mdm.command import parse_result
from appliance.store.database import Connection
from appliance.web.openapi import document
from appliance.wire.plist import Plist, dumps
from tests.device.receiver import Receiver, answer, close, receiver

from .api_client import ApiClient
from .test_openapi import conforms

__all__ = ["receiver"]

_SECRET = "hidden-in-the-address"
_PATH = "/api/v1/webhooks"


@pytest.fixture
def config(config: Config, receiver: Receiver) -> Config:
    """One whose address holds secrets."""
    url = receiver.url.replace("//", f"//name:{_SECRET}@") + f"?key={_SECRET}"
    return replace(config, webhook=WebhookConfig(urls=(url,), timeout="2s"))


@pytest.fixture
async def webhook(api: ApiClient) -> str:
    """The path of the one receiver; no job runs, so nothing is sent by itself."""
    await api.parts.services.webhooks.senders.begin()
    (item,) = (await api.call("GET", _PATH)).json["items"]
    return f"{_PATH}/{item['id']}"


async def say(api: ApiClient, udid: str = "A") -> None:
    """Let a device say that it is idle."""
    body = Plist({"UDID": udid, "Status": "Idle"})

    def unit(db: Connection) -> None:
        api.parts.services.webhooks.tell(db, parse_result(body), dumps(body), 1)

    await api.parts.services.webhooks._database.write(unit)


async def test_the_list_shows_the_address_without_its_secrets(
    api: ApiClient, webhook: str, receiver: Receiver
) -> None:
    shown = await api.call("GET", _PATH)
    (item,) = shown.json["items"]
    assert item["url"] == f"{receiver.url}?…"
    assert (item["state"], item["waiting"], item["signed"]) == ("ok", 0, False)
    assert _SECRET not in shown.text
    for name in ("appliance.db", "appliance.db-wal"):
        stored = api.parts.directory.database.with_name(name)
        assert _SECRET.encode() not in stored.read_bytes()
    assert _SECRET not in repr(api.parts.config)


@pytest.mark.parametrize("verb", ["", "/deliveries", "/test", "/replay"])
async def test_only_administrators_may(api: ApiClient, webhook: str, verb: str) -> None:
    method = "POST" if verb in ("/test", "/replay") else "GET"
    path = webhook + verb if verb else _PATH
    for scopes in (["read"], ["write", "danger"]):
        refused = await api.call(method, path, token=await api.new_token(*scopes))
        assert refused.status == 403
    assert (await api.call(method, path, token=None)).status == 401
    if verb:
        unknown = await api.call(method, f"{_PATH}/nobody{verb}")
        assert (unknown.status, unknown.json["code"]) == (404, "webhook.not_found")


async def test_a_test_says_how_it_went(api: ApiClient, webhook: str, receiver: Receiver) -> None:
    taken = (await api.call("POST", f"{webhook}/test")).json
    assert (taken["taken"], taken["answer"], taken["problem"]) == (True, 200, None)
    assert receiver.received[0].json["topic"] == "appliance.Test"
    assert receiver.received[0].headers["Authorization"].startswith("Basic ")
    with api.database() as db, db:
        db.execute("UPDATE webhooks SET disabled_at = 1, problem = 'x'")
    assert (await api.call("POST", f"{webhook}/test")).json["taken"]
    (item,) = (await api.call("GET", _PATH)).json["items"]
    assert (item["state"], item["problem"]) == ("ok", None), "one that takes it is enabled"
    receiver.behave = answer(302, Location=receiver.url)
    refused = (await api.call("POST", f"{webhook}/test")).json
    assert (refused["taken"], refused["problem"]) == (False, "it answered 302")
    receiver.behave = close
    away = await api.call("POST", f"{webhook}/test")
    assert (away.json["taken"], away.json["answer"]) == (False, None)
    assert _SECRET not in away.text


async def test_the_log_goes_back_page_by_page(api: ApiClient, webhook: str) -> None:
    for udid in "ABC":
        await say(api, udid)
    first = (await api.call("GET", f"{webhook}/deliveries?limit=2")).json
    assert [item["device"] for item in first["items"]] == ["C", "B"]
    path = f"{webhook}/deliveries?limit=2&cursor={first['next_cursor']}"
    second = (await api.call("GET", path)).json
    assert [item["device"] for item in second["items"]] == ["A"]
    assert second["next_cursor"] is None
    none = await api.call("GET", f"{webhook}/deliveries?status=failed")
    assert none.json["items"] == []
    assert (await api.call("GET", f"{webhook}/deliveries?status=lost")).status == 422
    for shown, path in ((first, "/{id}/deliveries"), ((await api.call("GET", _PATH)).json, "")):
        content = document()["paths"][_PATH + path]["get"]["responses"]["200"]["content"]
        conforms(shown, content["application/json"]["schema"], path)


async def test_a_replay_is_on_the_record(api: ApiClient, webhook: str) -> None:
    assert (await api.call("POST", f"{webhook}/replay", {})).json == {"replayed": 0}
    with api.database() as db:
        kinds = [kind for (kind,) in db.execute("SELECT kind FROM events ORDER BY id")]
    assert kinds[-1] == "webhook.replayed"


async def test_metrics_count_what_became_of_events(api: ApiClient, webhook: str) -> None:
    await say(api)
    text = (await api.call("GET", "/metrics")).text
    id_ = webhook.rpartition("/")[2]
    assert f'appliance_webhook_waiting{{webhook="{id_}"}} 1.0' in text
    for result in ("delivered", "retried", "failed", "dropped"):
        assert (
            f'appliance_webhook_deliveries_total{{result="{result}",webhook="{id_}"}} 0.0' in text
        )
