"""Failures of ours: the operator finds the cause in the log, a person or program gets a number."""

from __future__ import annotations

import logging
import re

import pytest

from appliance.errors import ApplianceError
from appliance.services.device_page import DevicePages
from appliance.services.devices import DeviceService

from .api_client import ApiClient
from .browser import Browser

SECRET = "the cause, with /a/path"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at devices fails, for a reason that nobody foresaw."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(DevicePages, "overview", fail)
    monkeypatch.setattr(DeviceService, "page", fail)


def number_in(text: str) -> str:
    found = re.search(r"\b[0-9a-f]{8}\b", text)
    assert found, text
    return found[0]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_person_gets_a_page_with_a_number_of_the_log(
    browser: Browser, api: ApiClient, language: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.enroll("one")
    await browser.sign_up()
    with caplog.at_level(logging.ERROR):
        shown = await browser.get(
            "/devices/one", **{"Accept": "text/html", "Accept-Language": language}
        )
    assert shown.status == 500
    assert "path" not in re.sub(r"<[^>]+>", "", shown.text)
    main = shown.text.partition("<main")[2].partition("</main>")[0]
    number = number_in(re.sub(r"<[^>]+>", " ", main))
    (record,) = (one for one in caplog.records if one.exc_info)
    assert SECRET in str(record.exc_info)
    assert number in str(vars(record))


@pytest.mark.usefixtures("broken")
async def test_a_program_gets_a_problem_document(
    api: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await api.call("GET", "/api/v1/devices")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert SECRET not in answer.text
    (record,) = (one for one in caplog.records if one.exc_info)
    assert answer.json["request_id"] in str(vars(record))


async def test_a_failure_with_a_name_is_not_told_to_a_person_either(
    browser: Browser, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ApplianceError(SECRET)

    monkeypatch.setattr(DevicePages, "overview", fail)
    api.enroll("one")
    await browser.sign_up()
    shown = await browser.get("/devices/one", Accept="text/html")
    assert shown.status == 500
    assert SECRET not in shown.text
    number_in(re.sub(r"<[^>]+>", " ", shown.text.partition("<main")[2]))


async def test_a_wrong_method_is_a_page_that_says_which_is_right(browser: Browser) -> None:
    await browser.sign_up()
    shown = await browser.request("PUT", "/activity", headers={"Accept": "text/html"})
    assert shown.status == 405
    assert "GET" in shown.headers["Allow"]
    assert "<main" in shown.text
