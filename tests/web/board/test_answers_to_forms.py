"""A page that answers a form stays as it is: its address, fetched anew, says something else."""

from __future__ import annotations

import plistlib

import pytest

from appliance.web.assets import asset_url

from .conftest import Office
from .test_restored import restored

__all__ = ["restored"]

LIVE = asset_url("live.js")


@pytest.mark.parametrize(
    ("form", "path", "fields"),
    [
        ("/account", "/account/password", {"old": "x", "password": "y", "again": "z"}),
        ("/enrollment", "/enrollment", {"uses": "0"}),
        ("/devices/one/send/RemoveProfile", "/devices/one/send/RemoveProfile", {"how": "form"}),
        ("/commands/erase", "/commands/erase/release", {"serial_number": "wrong"}),
        ("/commands/list", "/commands/list/secrets", {"reason": ""}),
        ("/commands/list", "/commands/list/secrets", {"reason": "forgot it"}),
        ("/devices/one", "/commands/none/undo", {}),
    ],
)
async def test_an_answer_to_a_form_is_not_live(
    restored: Office, form: str, path: str, fields: dict[str, str]
) -> None:
    restored.api.answer_command("one", "list", plistlib.dumps({"UnlockToken": b"secret"}))
    assert LIVE in await restored.open(form)
    answer = await restored.browser.submit(path, fields, Accept="text/html")
    assert "<main" in answer.text
    assert LIVE not in answer.text
