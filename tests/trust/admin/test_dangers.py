"""No stolen token erases a fleet: dangerous commands are few in an hour, in every way."""

from __future__ import annotations

import plistlib
from dataclasses import replace

import pytest

from appliance.config import Config, LimitsConfig
from tests.web.api_client import Answer, ApiClient
from tests.web.test_nanomdm import call

_MOST = 2
_DEVICES = ("one", "two", "three")


@pytest.fixture
def config(config: Config) -> Config:
    """Few dangerous commands, also for addresses of this machine."""
    return replace(config, limits=LimitsConfig(exempt=(), dangerous_per_hour=_MOST))


async def _erase(api: ApiClient, name: str, **options: str) -> Answer:
    serial = (await api.call("GET", f"/api/v1/devices/{name}")).json["serial_number"]
    order = {
        "targets": [name], "request_type": "EraseDevice", "confirm": {"serial_number": serial},
    }  # fmt: skip
    return await api.call("POST", "/api/v1/commands", order, **options)


def _queued(api: ApiClient) -> int:
    with api.database() as db:
        (count,) = db.execute("SELECT count(*) FROM commands").fetchone()
    return int(count)


async def test_d_08_a_fleet_is_not_erased_by_one_request_after_the_other(api: ApiClient) -> None:
    names = [api.enroll(name) for name in _DEVICES]
    assert [(await _erase(api, name)).status for name in names] == [202, 202, 429]
    assert _queued(api) == _MOST
    refused = await _erase(api, names[2])
    assert refused.json["code"] == "request.too_many"
    assert "limits.dangerous_per_hour" in refused.text
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600


async def test_d_08_nor_through_the_interface_of_nanomdm(api: ApiClient) -> None:
    names = [api.enroll(name) for name in _DEVICES]
    statuses = []
    for name in names:
        command = {"CommandUUID": f"U-{name}", "Command": {"RequestType": "EraseDevice"}}
        status, _ = await call(api, "PUT", f"/v1/enqueue/{name}?nopush=1", plistlib.dumps(command))
        statuses.append(status)
    assert statuses == [200, 200, 429]
    assert _queued(api) == _MOST


async def test_d_08_others_and_other_commands_go_on(api: ApiClient) -> None:
    names = [api.enroll(name) for name in _DEVICES]
    for name in names[:_MOST]:
        await _erase(api, name)
    harmless = {"targets": names, "request_type": "ProfileList"}
    assert (await api.call("POST", "/api/v1/commands", harmless)).status == 202
    another = await api.new_token("read", "write", "danger")
    assert (await _erase(api, names[2], token=another)).status == 202


class TestAtTheServerItself:
    """Whoever is there could take the database."""

    @pytest.fixture
    def config(self, config: Config) -> Config:
        """The limits as they are, with addresses of this machine exempt."""
        return replace(config, limits=LimitsConfig(dangerous_per_hour=1))

    async def test_d_08_they_are_not_counted(self, api: ApiClient) -> None:
        names = [api.enroll(name) for name in _DEVICES]
        assert [(await _erase(api, name)).status for name in names] == [202, 202, 202]
