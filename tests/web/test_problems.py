"""What is refused is said in the reader's language, on the page of the failure and in forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue import build_command
from appliance.web.languages import Language, catalogue
from appliance.web.problems import said
from tests.web.board.conftest import Office, office
from tests.web.browser import Browser

__all__ = ["office"]

ENGLISH, JAPANESE = catalogue(Language.ENGLISH), catalogue(Language.JAPANESE)


@pytest.mark.parametrize(
    ("request_type", "parameters"),
    [
        ("Nonsense", {}),
        ("devicelock", {}),
        ("DeviceLock", {"PIN": "12"}),
        ("DeviceLock", {"PIN": 5}),
        ("DeviceLock", {"PIN": "\x00" * 6}),
        ("DeviceLock", {"Pin": "123456"}),
        ("RemoveProfile", {}),
        ("RestartDevice", {"NotifyUser": 5}),
        ("DeviceInformation", {"Queries": []}),
        ("DeviceInformation", {"Queries": "x"}),
        ("DeviceInformation", {"Queries": ["x"], "DeviceAttestationNonce": "AAAA" * 20}),
        ("DeviceInformation", {"Queries": ["x"], "DeviceAttestationNonce": "%"}),
        ("InstallApplication", {}),
        ("InstallApplication", {"Identifier": "a", "iTunesStoreID": 1}),
        ("InstallApplication", {"iTunesStoreID": 1 << 70}),
        ("InstallEnterpriseApplication", {"ManifestURL": "http://a"}),
        ("EnableLostMode", {}),
        ("DeleteUser", {}),
        ("RequestMirroring", {"DestinationName": "a", "ScanTime": 5}),
        ("Settings", {"Settings": [{"Item": "None"}]}),
        ("Settings", {"Settings": [{}]}),
        ("ScheduleOSUpdate", {"Updates": [{"InstallAction": "None"}]}),
    ],
)
def test_no_check_of_a_command_is_left_in_english(
    request_type: str, parameters: Mapping[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        build_command(request_type, parameters)
    for problem in filter(None, (refused.value.problem, refused.value.fix)):
        japanese, english = said(JAPANESE, problem), said(ENGLISH, problem)
        assert not japanese.is_english, problem
        assert re.search("[ぁ-ん]|[一-龠]", japanese.words), problem
        assert english.words == problem.removeprefix(f"{english.subject}: ")


def test_what_nobody_has_put_into_words_stays_and_is_marked_as_english() -> None:
    found = said(JAPANESE, "something new: 5")
    assert (found.words, found.is_english) == ("something new: 5", True)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/commands/none", "コマンド&#39;none&#39;はありません。"),
        ("/devices/none", "デバイス&#39;none&#39;はありません。"),
        ("/enrollment/none", "登録リンク&#39;NONE&#39;はありません。"),
        ("/devices/one/send/Nothing", "&#39;Nothing&#39;というコマンドの種類はありません。"),
        ("/activity?cursor=x", "続きの位置を示す値が正しくありません。"),
    ],
)
async def test_the_page_of_a_failure_is_in_the_readers_language(
    office: Office, path: str, words: str
) -> None:
    shown = await office.browser.get(path, **{"Accept": "text/html", "Accept-Language": "ja"})
    assert shown.status in (404, 422)
    assert words in shown.text
    assert 'lang="en"' not in shown.text.partition("<main")[2].partition("</main>")[0]


async def test_a_form_of_another_session_is_refused_in_the_readers_language(
    office: Office,
) -> None:
    shown = await office.browser.request(
        "POST", "/enrollment", data={"csrf_token": "x"},
        headers={"Accept": "text/html", "Accept-Language": "ja"},
    )  # fmt: skip
    assert shown.status == 403
    assert "このセッションで開いたページのものではありません" in shown.text


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/commands/none/secrets?lang=ja", "/commands/none?lang=ja"),
        ("/account/password?lang=ja", "/account?lang=ja"),
        ("/devices/a%2Fb/ping", "/devices/a%2Fb"),
        ("/logout", "/"),
    ],
)
async def test_the_address_of_a_form_leads_to_its_page(
    browser: Browser, path: str, page: str
) -> None:
    await browser.sign_up()
    shown = await browser.get(path, Accept="text/html")
    assert (shown.status, shown.location) == (303, page)
