"""The public pages: complete, safe, and honest about what a person can do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from aiohttp.test_utils import make_mocked_request

from appliance.web.board.login import SetupPage, SignInPage
from appliance.web.board.troubles import Trouble
from appliance.web.languages import Language
from appliance.web.pages import (
    EnrollCodePage,
    EnrollPage,
    HelpPage,
    HomePage,
    Page,
    Refusal,
    RefusedPage,
    TrustStep,
    render,
    respond,
    security_headers,
)
from appliance.web.platforms import Platform, guess_platform

OFFICE = "Example & Sons <Office>"
MENU = " \u203a "  # between the names of menus
HOST = "mdm.example.jp:8443"
TRUST = TrustStep(
    profile_url="/trust.mobileconfig",
    certificate_name="Example Root",
    fingerprint="AB:CD:EF",
)


def enroll_page(
    platform: Platform = Platform.IPHONE, trust: TrustStep | None = TRUST
) -> EnrollPage:
    """Return the page of a link with one use left."""
    return EnrollPage(
        organization=OFFICE,
        host=HOST,
        url=f"https://{HOST}/e/7KQ4M2XD",
        profile_url="/e/7KQ4M2XD/enroll.mobileconfig",
        platform=platform,
        trust=trust,
        label="reception",
        uses_left=1,
        expires_at=datetime(2026, 12, 1, 14, 5, tzinfo=UTC),
    )


PAGES: list[Page] = [
    *(enroll_page(platform, trust) for platform in Platform for trust in (TRUST, None)),
    EnrollCodePage(organization=OFFICE, host=HOST),
    EnrollCodePage(organization=OFFICE, host=HOST, code='"><script>alert(1)</script>'),
    *(RefusedPage(organization=OFFICE, host=HOST, reason=reason) for reason in Refusal),
    HelpPage(organization=OFFICE, host=HOST, path="/mdm"),
    HomePage(organization=OFFICE, host=HOST, version="1.2.3"),
    SignInPage(organization=OFFICE, host=HOST),
    SetupPage(organization=OFFICE, host=HOST, min_password=12),
    *(
        page
        for trouble in Trouble
        for page in (
            SignInPage(organization=OFFICE, host=HOST, trouble=trouble, wait_minutes=2),
            SetupPage(
                organization=OFFICE, host=HOST, min_password=12, trouble=trouble, wait_minutes=2
            ),
        )
    ),
]


class Outline(HTMLParser):
    """Collects the tags of a page and checks that they nest."""

    VOID = frozenset({"meta", "link", "img", "input", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every `tag`."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole_and_runs_nothing_inline(page: Page, language: Language) -> None:
    outline = Outline(render(page, language))

    assert outline.open == []
    assert outline.named("html") == [{"lang": language}]
    assert len(outline.named("h1")) == 1
    assert all((script["src"] or "").startswith("/static/") for script in outline.named("script"))
    assert outline.named("style") == []
    for tag, attributes in outline.tags:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag


@pytest.mark.parametrize("page", PAGES)
def test_page_asks_no_other_server_for_anything(page: Page) -> None:
    for tag, attributes in Outline(render(page, Language.ENGLISH)).tags:
        address = attributes.get("src") or attributes.get("href") or attributes.get("action") or "/"
        assert re.match(r"[/?](?!/)", address), (tag, address)


@pytest.mark.parametrize("page", PAGES)
def test_names_are_shown_as_text_never_as_markup(page: Page) -> None:
    html = render(page, Language.ENGLISH)

    assert "Example &amp; Sons &lt;Office&gt;" in html
    assert "<Office>" not in html
    assert "<script>" not in html


@pytest.mark.parametrize("page", PAGES)
def test_japanese_page_differs_from_the_english_one(page: Page) -> None:
    japanese = render(page, Language.JAPANESE)

    assert "デバイス" in japanese
    assert "Language" not in japanese


def test_phone_is_led_through_trust_and_then_management() -> None:
    html = render(enroll_page(Platform.IPHONE), Language.ENGLISH)

    trust, management = html.index("/trust.mobileconfig"), html.index("enroll.mobileconfig")
    assert trust < management
    assert MENU.join(("Settings", "General", "About", "Certificate Trust Settings")) in html
    assert "AB:CD:EF" in html
    assert "8 minutes" in html
    assert "What your organization can and cannot see" in html


def test_publicly_trusted_server_has_no_trust_step() -> None:
    html = render(enroll_page(Platform.IPHONE, None), Language.ENGLISH)

    assert "Certificate Trust Settings" not in html
    assert "Not Private" not in html
    assert "enroll.mobileconfig" in html


def test_mac_is_told_of_system_settings() -> None:
    html = render(enroll_page(Platform.MAC), Language.ENGLISH)

    assert MENU.join(("System Settings", "General", "Device Management")) in html
    assert "Certificate Trust Settings" not in html


def test_other_computer_gets_a_qr_code_and_no_profile() -> None:
    page = enroll_page(Platform.OTHER)
    html = render(page, Language.ENGLISH)

    assert "<svg" in html
    assert page.url in html
    assert "mobileconfig" not in html


@pytest.mark.parametrize("reason", Refusal)
def test_each_refusal_says_why_and_what_the_administrator_does(reason: Refusal) -> None:
    page = RefusedPage(organization=OFFICE, host=HOST, reason=reason)
    others = [
        RefusedPage(organization=OFFICE, host=HOST, reason=other)
        for other in Refusal
        if other is not reason
    ]
    html = render(page, Language.ENGLISH)

    assert all(render(other, Language.ENGLISH) != html for other in others)
    commands = {
        Refusal.NO_PUSH_CERTIFICATE: "appliance push-cert import",
        Refusal.CLOCK_WRONG: "timedatectl",
    }
    assert commands.get(reason, "appliance enroll link") in html


def test_home_tells_a_stranger_nothing_of_push() -> None:
    html = render(HomePage(organization=OFFICE, host=HOST, version="1.2.3"), Language.ENGLISH)

    assert "1.2.3" in html
    assert "push" not in html.lower()


def test_answer_is_in_the_language_of_the_reader_and_never_stored() -> None:
    request = make_mocked_request("GET", "/", headers={"Accept-Language": "ja-JP"})
    answer = respond(request, enroll_page(), status=403)

    assert answer.status == 403
    assert answer.headers["Content-Language"] == "ja"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_policy_forbids_everything_inline_and_foreign() -> None:
    policy = security_headers(enroll_page())["Content-Security-Policy"]

    assert policy.startswith("default-src 'self'; connect-src 'self'; ")
    assert "unsafe" not in policy


def test_probe_of_another_name_is_the_only_address_added_to_the_policy() -> None:
    trust = TrustStep(
        profile_url="/trust.mobileconfig",
        certificate_name="Example Root",
        fingerprint="AB",
        probe_url="https://192.0.2.1:8443/healthz",
    )
    policy = security_headers(enroll_page(trust=trust))["Content-Security-Policy"]

    assert "connect-src 'self' https://192.0.2.1:8443;" in policy


@pytest.mark.parametrize(
    ("user_agent", "platform"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) Safari/604.1", Platform.IPHONE),
        ("Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) Safari/604.1", Platform.IPAD),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", Platform.MAC),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0", Platform.OTHER),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/140.0 Mobile", Platform.OTHER),
        ("", Platform.OTHER),
    ],
)
def test_platform_is_guessed_from_the_browser(user_agent: str, platform: Platform) -> None:
    assert guess_platform(user_agent) == platform


def test_chosen_platform_wins_over_the_guess() -> None:
    assert guess_platform("(Macintosh; Intel Mac OS X)", "ipad") is Platform.IPAD
    assert guess_platform("(Macintosh; Intel Mac OS X)", "toaster") is Platform.MAC
