"""Enrollment links: how often, how long, until when."""

from __future__ import annotations

import asyncio

import pytest

from tests.device.device import Device
from tests.device.scep import ScepFailure
from tests.device.server import Api, Link


async def test_a_link_is_used_up_by_certificates_and_not_by_downloads(api: Api) -> None:
    link = await api.new_link(uses=2)
    profiles = [await api.download(link) for _ in range(3)]
    for profile in profiles[:2]:
        await Device(api.session).enroll_from_profile(profile)
    with pytest.raises(ScepFailure, match="failInfo 2"):
        await Device(api.session).enroll_from_profile(profiles[2])
    assert await download_status(api, link) in (404, 410)


async def download_status(api: Api, link: Link) -> int:
    async with api.session.get(link.profile_url) as response:
        return response.status


async def test_a_revoked_link_is_void_at_once(api: Api) -> None:
    link = await api.new_link(uses=5)
    profile = await api.download(link)
    api.server.cli("enroll", "revoke", link.code)
    assert await download_status(api, link) in (404, 410)
    with pytest.raises(ScepFailure, match="failInfo 2"):
        await Device(api.session).enroll_from_profile(profile)


async def test_an_expired_link_gives_no_profile(api: Api) -> None:
    link = await api.new_link(expires_in=1)
    await asyncio.sleep(1.6)
    assert await download_status(api, link) in (404, 410)


async def test_an_unknown_code_gives_no_profile(api: Api) -> None:
    url = f"{api.server.url}/e/AAAA-BBBB-CCCC/enroll.mobileconfig"
    async with api.session.get(url) as response:
        assert response.status in (404, 410)
