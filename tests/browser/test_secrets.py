"""Secrets are shown to who asks for them, and never by a page that was left alone."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.device.device import Device
from tests.device.server import Api

GATHERED_MS = 3000  # longer than live.js waits before it fetches


async def test_a_refused_page_does_not_ask_again_by_itself(
    administrator: Open, api: Api, device: Device
) -> None:
    await api.queue(device.id, "SecurityInfo")
    received = (await device.idle()).command
    assert received is not None
    await device.acknowledge(received, UnlockToken=b"secret-secret")
    page, onlooker = await administrator(), await administrator()
    await page.goto(f"/commands/{received.uuid}")
    reason = page.get_by_label("Why do you need to see the secrets?")
    await reason.fill("   ")
    await page.get_by_role("button", name="Show the secrets").click()
    await expect(page.get_by_role("alert")).to_contain_text("Say why")
    await reason.fill("the user forgot the passcode")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await onlooker.goto("/")
    other = await api.enroll()
    await api.queue(other.id, "ProfileList", push=False)
    told = onlooker.locator("#feed").get_by_text(re.compile("ProfileList")).first
    await expect(told).to_be_visible()
    await page.wait_for_timeout(GATHERED_MS)

    assert asked == []
    await expect(reason).to_have_value("the user forgot the passcode")
