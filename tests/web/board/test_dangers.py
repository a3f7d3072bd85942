"""The page when somebody has ordered as many dangerous commands as an hour allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.config import Config, LimitsConfig

from .conftest import Office
from .html_form import HtmlForm
from .test_send import ERASE


@pytest.fixture
def config(config: Config) -> Config:
    """One an hour, also for addresses of this machine."""
    return replace(config, limits=LimitsConfig(exempt=(), dangerous_per_hour=1))


async def test_d_08_a_person_is_told_why_no_more_is_erased_and_what_to_do(office: Office) -> None:
    assert (await office.send("one", "EraseDevice", **ERASE)).status == 303
    form = {"how": "form", **ERASE}
    for language, words in (("en", "were ordered by you"), ("ja", "危険なコマンドを1件")):
        headers = {"Accept": "text/html", "Accept-Language": language}
        answer = await office.browser.submit("/devices/one/send/EraseDevice", form, **headers)
        assert answer.status == 429
        assert words in answer.text
        assert "limits.dangerous_per_hour" in answer.text
        assert 0 < int(answer.headers["Retry-After"]) <= 3600
        typed = HtmlForm(answer.text, "send")
        assert {name: typed.controls[name].values[0] for name in ERASE} == ERASE
    assert len(office.commands()) == 1
