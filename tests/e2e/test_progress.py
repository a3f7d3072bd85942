"""How far a device has come, as whoever holds the link may know it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.device.device import Device
from tests.device.scep import ScepFailure
from tests.device.server import Api, Link

VISIT, OTHER = "0123456789", "abcdef0123"
SECRETS = ("serial", "udid", "challenge", "token", "magic", "code")


async def progress(api: Api, link: Link, visit: str | None = None) -> dict[str, Any]:
    """What the page of the link is told."""
    url = f"{link.url}/progress" + (f"?v={visit}" if visit else "")
    async with api.session.get(url) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        text = await response.text()
    assert not any(word in text.lower() for word in SECRETS), text
    told: dict[str, Any] = json.loads(text)
    return told


async def downloaded(api: Api, link: Link, visit: str) -> bytes:
    """The profile, downloaded from one opened page."""
    async with api.session.get(f"{link.profile_url}?v={visit}") as response:
        assert response.status == 200
        return await response.read()


async def stages(api: Api, link: Link, visit: str | None = None) -> list[str]:
    """The stages of all devices."""
    return [device["stage"] for device in (await progress(api, link, visit))["devices"]]


async def test_the_stages_of_a_device_are_told_one_by_one(api: Api) -> None:
    link = await api.new_link()
    assert await progress(api, link) == {"link": "open", "devices": []}

    profile = await downloaded(api, link, VISIT)
    assert await stages(api, link, VISIT) == ["downloaded"]

    device = Device(api.session)
    await device.enroll_from_profile(profile)
    (told,) = (await progress(api, link, VISIT))["devices"]
    assert told == {
        "stage": "enrolled", "refused": False, "name": "Test device", "model": "MacBook Pro",
    }  # fmt: skip
    assert (await progress(api, link))["link"] == "used_up"

    await api.queue(device.id, "ProfileList")
    command = (await device.idle()).command
    assert command is not None
    await device.acknowledge(command, ProfileList=[])
    assert await stages(api, link, VISIT) == ["answered"]


async def test_a_page_is_told_the_names_of_its_own_devices_alone(api: Api) -> None:
    link = await api.new_link(uses=2)
    await Device(api.session).enroll_from_profile(await downloaded(api, link, VISIT))
    await Device(api.session).enroll_from_profile(await downloaded(api, link, OTHER))

    everybody = (await progress(api, link))["devices"]
    assert [(one["stage"], one["name"], one["model"]) for one in everybody] == [
        ("enrolled", None, None), ("enrolled", None, None),
    ]  # fmt: skip
    assert len((await progress(api, link, VISIT))["devices"]) == 1
    assert (await progress(api, link, "9999999999"))["devices"] == []


async def test_a_device_that_gets_no_certificate_is_told(api: Api) -> None:
    link = await api.new_link(uses=1)
    late = await downloaded(api, link, VISIT)
    await Device(api.session).enroll_from_profile(await downloaded(api, link, OTHER))
    with pytest.raises(ScepFailure):
        await Device(api.session).enroll_from_profile(late)

    (told,) = (await progress(api, link, VISIT))["devices"]
    assert (told["stage"], told["refused"]) == ("downloaded", True)


async def test_an_unknown_code_tells_nothing(api: Api) -> None:
    async with api.session.get(f"{api.server.url}/e/AAAA-BBBB-CCCC/progress") as response:
        assert response.status == 404
