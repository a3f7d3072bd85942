"""Reading the pages of the board as a browser does."""

from __future__ import annotations

import sqlite3
from html.parser import HTMLParser
from urllib.parse import urljoin

from appliance.services.clock import HOUR, now_ms

PAGES = ("/", "/devices", "/certificates", "/activity")


class Reading(HTMLParser):
    """The tags of a page, its links, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Gather the text."""
        self.text += data

    def links(self, base: str) -> set[str]:
        """Return where the links lead, without fragments."""
        found = [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]
        return {urljoin(base, address).partition("#")[0] for address in found}

    def device_names(self) -> list[str]:
        """Return the IDs of the devices that a list links to, in its order."""
        found = [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]
        prefix = "/devices/"
        return [address[len(prefix) :] for address in found if address.startswith(prefix)]


def seen(db: sqlite3.Connection, enrollment_id: str, *, hours_ago: int) -> None:
    """Let the device have been heard of so long ago, and have enrolled before."""
    at = now_ms() - hours_ago * HOUR
    db.execute(
        "UPDATE enrollments SET last_seen_at = ?, enrolled_at = ? WHERE id = ?",
        (at, at - HOUR, enrollment_id),
    )


def rename(db: sqlite3.Connection, enrollment_id: str, name: str) -> None:
    """Give the device the name that it claims."""
    db.execute("UPDATE devices SET name = ? WHERE enrollment_id = ?", (name, enrollment_id))
