"""The languages of the page: which one to use, and its catalogue of texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from gettext import NullTranslations

from appliance import resources
from appliance.errors import MalformedMessage


class Language(StrEnum):
    """A language that every page is complete in, as its BCP 47 tag."""

    ENGLISH = "en"
    JAPANESE = "ja"


# Each in its own words: whoever looks for it can read it.
NAMES: Mapping[Language, str] = {Language.ENGLISH: "English", Language.JAPANESE: "日本語"}

# English is the source and needs no files; each area of the page has a file of its own.
_CATALOGUES: Mapping[Language, str] = {Language.JAPANESE: "web/locale/ja/LC_MESSAGES"}
_PO_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr|msgstr\[0\])\s+)?(".*")')
# Longer headers come from no browser; the cap keeps a hostile one cheap.
_ACCEPT_LANGUAGE_LIMIT = 512


class Catalogue(NullTranslations):
    """Texts by their English message; what is missing stays English."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__()
        self.messages = messages

    def gettext(self, message: str) -> str:
        """Return the text for one message."""
        return self.messages.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for `n` things."""
        return self.messages.get(msgid1, msgid1 if n == 1 else msgid2)


@cache
def catalogue(language: Language) -> Catalogue:
    """Return the bundled catalogue of one language: all files of its folder in one."""
    messages: dict[str, str] = {}
    folder = _CATALOGUES.get(language)
    for name in resources.names(folder) if folder else ():
        messages |= read_po(resources.text(f"{folder}/{name}"))
    return Catalogue(messages)


def text(message: str) -> str:
    """Mark a text of a page that stands in Python; tests find it by this call, as gettext does."""
    return message


def read_po(source: str) -> dict[str, str]:
    """Return the translated messages of a gettext .po file.

    Reads what our catalogues use: no contexts, and one plural form, as Japanese has.

    Raises:
        MalformedMessage: a line is neither a comment nor a keyword with a quoted string.
    """
    messages: dict[str, str] = {}
    for entry in re.split(r"\n\s*\n", source):
        fields = _read_entry(entry)
        text = fields.get("msgstr") or fields.get("msgstr[0]")
        if text and fields.get("msgid"):
            messages[fields["msgid"]] = text
    return messages


def _read_entry(entry: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    keyword = ""
    for line in entry.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _PO_LINE.fullmatch(line.strip())
        if match is None:
            raise MalformedMessage(f"not a line of a .po file: {line!r}")
        keyword = match[1] or keyword
        # The escapes that gettext writes (\n, \t, \", \\) are those of JSON.
        fields[keyword] = fields.get(keyword, "") + json.loads(match[2])
    return fields


def choose_language(accept_language: str, asked: str | None = None) -> Language:
    """Return the language a person `asked` for (`?lang=`), else their browser's, else English."""
    if asked in set(Language):
        return Language(asked)
    weighted = sorted(_weights(accept_language[:_ACCEPT_LANGUAGE_LIMIT]), key=lambda one: -one[0])
    for weight, tag in weighted:
        primary = tag.partition("-")[0].lower()
        if weight > 0 and primary in set(Language):
            return Language(primary)
    return Language.ENGLISH


def _weights(accept_language: str) -> list[tuple[float, str]]:
    """Split an Accept-Language field (RFC 9110, 12.5.4); a range without `q` weighs 1."""
    weights = []
    for part in accept_language.split(","):
        tag, _, parameter = part.strip().partition(";")
        match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        weights.append((float(match[1]) if match else 0.0 if parameter else 1.0, tag.strip()))
    return weights
