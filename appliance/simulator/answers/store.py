"""Apps that simulated devices know; anything else is made up from what the command names."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import urlsplit

from appliance.simulator.state import App

_MB = 1_000_000


def _app(identifier: str, name: str, version: str, size: int, store_id: int) -> App:
    return App(
        identifier=identifier, name=name, version=version, size=size * _MB, store_id=store_id
    )


KEYNOTE = _app("com.apple.Keynote", "Keynote", "15.1", 610, 361285480)
PAGES = _app("com.apple.Pages", "Pages", "15.1", 590, 361309726)
NUMBERS = _app("com.apple.Numbers", "Numbers", "15.1", 560, 361304891)
KEYNOTE_MAC = _app("com.apple.iWork.Keynote", "Keynote", "15.1", 730, 409183694)
PAGES_MAC = _app("com.apple.iWork.Pages", "Pages", "15.1", 720, 409201541)
XCODE = _app("com.apple.dt.Xcode", "Xcode", "27.1", 12800, 497799835)
SAFARI = _app("com.apple.Safari", "Safari", "27.1", 15, 0)
MAIL = _app("com.apple.mail", "Mail", "16.0", 25, 0)
TERMINAL = _app("com.apple.Terminal", "Terminal", "2.15", 10, 0)
SLACK = _app("com.tinyspeck.chatlyio", "Slack", "26.10.30", 310, 618783545)
SLACK_MAC = _app("com.tinyspeck.slackmacgap", "Slack", "4.47.65", 480, 803453959)
ZOOM = _app("us.zoom.videomeetings", "Zoom Workplace", "6.6.5", 420, 546505307)
ONE_PASSWORD = _app("com.1password.1password", "1Password", "8.12.2", 320, 1511601750)
FIREFOX = _app("org.mozilla.firefox", "Firefox", "145.0", 380, 0)
SWIFT_PLAYGROUND = _app("com.apple.Playgrounds", "Swift Playground", "4.7", 350, 908519492)
GOODNOTES = _app("com.goodnotesapp.x", "Goodnotes", "6.7.20", 440, 1444383602)

MAC_APPS: Final = (SAFARI, MAIL, TERMINAL, KEYNOTE_MAC, PAGES_MAC, SLACK_MAC, FIREFOX)
DEVELOPER_APPS: Final = (*MAC_APPS, XCODE)
PHONE_APPS: Final = (SLACK, ZOOM, ONE_PASSWORD)
IPAD_APPS: Final = (KEYNOTE, PAGES, SWIFT_PLAYGROUND)

_KNOWN: Final = (
    *DEVELOPER_APPS,
    *PHONE_APPS,
    *IPAD_APPS,
    NUMBERS,
    GOODNOTES,
)


def by_store_id(store_id: int) -> App:
    """Return the app with this App Store number."""
    for app in _KNOWN:
        if app.store_id == store_id:
            return app
    return _made_up(f"com.example.app{store_id}", f"App {store_id}", store_id)


def by_identifier(identifier: str) -> App:
    """Return the app with this bundle identifier."""
    for app in _KNOWN:
        if app.identifier == identifier:
            return app
    return _made_up(identifier, identifier.rpartition(".")[2].capitalize() or identifier, 0)


def by_manifest_url(url: str) -> App:
    """Return the in-house app that a manifest at this address would describe.

    Raises ValueError when it is no address.
    """
    parts = urlsplit(url)
    stem = parts.path.rpartition("/")[2].partition(".")[0] or "app"
    host = ".".join(reversed((parts.hostname or "example").split(".")))
    return _made_up(f"{host}.{stem}", stem.capitalize(), 0)


def _made_up(identifier: str, name: str, store_id: int) -> App:
    number = hashlib.sha256(identifier.encode()).digest()[0]
    version = f"{1 + number % 9}.{number % 7}"
    return _app(identifier, name, version, 20 + number, store_id)
