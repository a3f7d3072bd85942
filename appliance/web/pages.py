"""Pages: one dataclass and one template each. Here are those that need no account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from typing import ClassVar
from urllib.parse import quote, urlsplit

import segno
from aiohttp import web
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from appliance import resources
from appliance.web.assets import asset_url
from appliance.web.cookies import cookie
from appliance.web.languages import NAMES, Language, catalogue, choose_language
from appliance.web.platforms import Platform
from appliance.web.problems import said
from appliance.web.reasons import reason_of
from appliance.web.sentences import sentence, sentence_of

_FOLDERS = ("", "board/")  # of templates; a template of the second is named "board/…"
_LANGUAGE_COOKIE = "language"
_YEAR_SECONDS = 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page shows: who runs the server, and its name as in the browser's address."""

    template: ClassVar[str]

    organization: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStep:
    """How a device comes to trust a server with a certificate of its own."""

    profile_url: str
    certificate_name: str  # as Certificate Trust Settings lists it
    fingerprint: str  # SHA-256 of the root, "AB:CD:…"
    # Fetched by the script to prove trust. A browser keeps a person's "visit anyway" for a host
    # name, so an https page learns something only from another name of this server.
    probe_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollPage(Page):
    """Trust this server, then install management, on the device that has the page open."""

    template: ClassVar[str] = "enroll.html"

    url: str  # of this page, absolute: what the QR code says
    profile_url: str
    platform: Platform
    trust: TrustStep | None = None  # None: every device trusts the certificate already
    label: str = ""
    uses_left: int | None = None  # None: as often as wanted
    expires_at: datetime | None = None
    progress_url: str = ""  # "": nothing is known of a device that enrolls without a link
    visit: str = ""  # what this page and a device that scans its code have in common

    @property
    def qr(self) -> Markup:
        """The page's address, for the camera of another device; it shares the visit."""
        return qr_code(f"{self.url}?v={self.visit}" if self.visit else self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollCodePage(Page):
    """Asks for the code of an enrollment link."""

    template: ClassVar[str] = "enroll_code.html"

    code: str = ""  # what was typed, when it led nowhere


class Refusal(StrEnum):
    """Why a person cannot enroll now."""

    UNKNOWN = "unknown"
    USED_UP = "used_up"
    EXPIRED = "expired"
    REVOKED = "revoked"
    NO_PUSH_CERTIFICATE = "no_push_certificate"
    CLOCK_WRONG = "clock_wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPage(Page):
    """Enrollment is not possible: the reason, and who can do what about it."""

    template: ClassVar[str] = "refused.html"

    reason: Refusal
    progress_url: str = ""  # of a link that is over: somebody who has just used it looks again
    visit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpPage(Page):
    """A person opened an address that only devices use."""

    template: ClassVar[str] = "help.html"

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage(Page):
    """The server runs. Says nothing that a stranger should not know."""

    template: ClassVar[str] = "home.html"

    version: str


def render(page: Page, language: Language) -> str:
    """Return the HTML of `page` in `language`."""
    return environment(language).get_template(page.template).render(page=page)


def respond(request: web.Request, page: Page, *, status: int = 200) -> web.Response:
    """Answer `request` with `page` in the language of its reader."""
    language = language_of(request)
    response = web.Response(
        text=render(page, language),
        status=status,
        content_type="text/html",
        headers={**security_headers(page), "Content-Language": language},
    )
    if request.query.get("lang") == language:
        response.set_cookie(
            _LANGUAGE_COOKIE, language, max_age=_YEAR_SECONDS, secure=True, httponly=True,
            samesite="Lax",
        )  # fmt: skip
    return response


def language_of(request: web.Request) -> Language:
    """Return the language that the reader asks for now, chose before, or has set the browser to."""
    asked = request.query.get("lang"), cookie(request, _LANGUAGE_COOKIE)
    chosen = next((one for one in asked if one in set(Language)), None)
    return choose_language(request.headers.get("Accept-Language", ""), chosen)


def security_headers(page: Page) -> dict[str, str]:
    """Return the header fields of every page: nothing foreign runs, nothing leaks its address."""
    connect = "'self'"
    if isinstance(page, EnrollPage) and page.trust and page.trust.probe_url:
        probe = urlsplit(page.trust.probe_url)
        connect += f" {probe.scheme}://{probe.netloc}" if probe.netloc else ""
    return {
        "Content-Security-Policy": (
            f"default-src 'self'; connect-src {connect}; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; object-src 'none'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        # Under "no-referrer" our own forms would come with `Origin: null`.
        "Referrer-Policy": "same-origin",
        "Vary": "Accept-Language, Cookie, User-Agent",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


def qr_code(url: str) -> Markup:
    """Return `url` as an inline SVG without a quiet zone: the page gives it one."""
    code = segno.make(url, micro=False)
    svg = code.svg_inline(border=0, omitsize=True, svgclass=None, lineclass=None)
    return Markup(svg)  # noqa: S704 - drawn by segno from modules, holds no text of ours


def device_url(enrollment_id: str) -> str:
    """Return the address of a device's page; an ID is a claim and may hold any letter."""
    return f"/devices/{quote(enrollment_id, safe='')}"


def command_url(command_uuid: str) -> str:
    """Return the address of a command's page; its sender chose the UUID, with any letters."""
    return f"/commands/{quote(command_uuid, safe='')}"


def templates() -> Mapping[str, str]:
    """Return the source of every template by name."""
    return {
        f"{folder}{name}": resources.text(f"web/templates/{folder}{name}")
        for folder in _FOLDERS
        for name in resources.names(f"web/templates/{folder}")
    }


@cache
def environment(language: Language) -> Environment:
    """Return the template engine that speaks `language`."""
    environment = Environment(
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        loader=FunctionLoader(templates().get),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals.update(
        asset_url=asset_url,
        command_url=command_url,
        device_url=device_url,
        language=language,
        languages=NAMES,
        now=partial(datetime.now, UTC),
        platforms=list(Platform),
        sentence=partial(sentence, catalogue(language)),
        sentence_of=sentence_of,
        reason_of=reason_of,
        said=partial(said, catalogue(language)),
    )
    # Added by the i18n extension at run time, so no type checker knows it.
    environment.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    return environment
