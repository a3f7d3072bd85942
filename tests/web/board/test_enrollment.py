"""The page where links are made, read and revoked."""

from __future__ import annotations

import re

from tests.web.browser import Browser


async def test_a_link_is_made_shown_with_its_code_and_revoked(browser: Browser) -> None:
    await browser.sign_up()

    made = await browser.submit(
        "/enrollment", {"label": "<b>Front desk</b>", "uses": "2", "expires_in": "1d"}
    )
    shown = await browser.get("/enrollment")

    assert (made.status, made.location) == (303, "/enrollment")
    assert "&lt;b&gt;Front desk&lt;/b&gt;" in shown.text
    assert "0 / 2" in shown.text
    assert "<svg" in shown.text
    code = re.search(r'name="code" value="([^"]+)"', shown.text)
    assert code is not None
    assert f"/e/{code[1]}" in shown.text

    await browser.submit("/enrollment/revoke", {"code": code[1]})

    after = await browser.get("/enrollment")
    assert f"/e/{code[1]}" not in after.text
    assert "Revoked" in after.text
    assert "取り消し済み" in (await browser.get("/enrollment?lang=ja")).text


async def test_a_number_out_of_range_makes_no_link(browser: Browser) -> None:
    await browser.sign_up()

    refused = await browser.submit("/enrollment", {"label": "", "uses": "0", "expires_in": "1d"})

    assert refused.status == 422
    assert 'role="alert"' in refused.text
    assert "No link is open." in refused.text


async def test_a_form_of_another_site_makes_no_link(browser: Browser) -> None:
    await browser.sign_up()

    refused = await browser.submit(
        "/enrollment", {"csrf_token": "0" * 64, "label": "x", "uses": "1", "expires_in": "1d"}
    )

    assert refused.status == 403
    assert "No link is open." in (await browser.get("/enrollment")).text
