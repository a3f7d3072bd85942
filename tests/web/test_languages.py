"""Languages: which one a reader gets, and that Japanese is complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import web
from appliance.errors import MalformedMessage
from appliance.web.languages import Language, catalogue, choose_language, read_po
from appliance.web.pages import environment, templates

PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")
MARKUP = re.compile(r"</?\w+>|&\w+;")


def messages() -> dict[str, str]:
    """Return every text of every template and of every page's Python, by the catalogue's key.

    The value is the text with all of its places: of a plural, the form for several.
    """
    found = {message: message for message in marked_texts()}
    # Added by jinja2's i18n extension at run time, so no type checker knows it.
    extract = environment(Language.ENGLISH).extract_translations  # type: ignore[attr-defined]
    for source in templates().values():
        for _, _, message in extract(source):
            # None: what is translated stands in a variable, and is marked where it is made.
            forms = (
                [message] if isinstance(message, str) else [form for form in message or () if form]
            )
            if forms:
                found[forms[0]] = forms[-1]
    return found


def marked_texts() -> Iterator[str]:
    """Yield what stands in a call of `languages.text`."""
    for path in Path(web.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "text"
            ):
                yield ast.literal_eval(node.args[0])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ja", Language.JAPANESE),
        ("ja-JP,ja;q=0.9,en-US;q=0.8", Language.JAPANESE),
        ("en-GB,en;q=0.9,ja;q=0.8", Language.ENGLISH),
        ("en;q=0.3, ja;q=0.7", Language.JAPANESE),
        ("fr-FR,ja;q=0.5,en;q=0.4", Language.JAPANESE),
        ("de,fr", Language.ENGLISH),
        ("ja;q=0", Language.ENGLISH),
        ("ja;q=banana", Language.ENGLISH),
        ("", Language.ENGLISH),
        ("*", Language.ENGLISH),
        (",;q=,;;," * 100_000, Language.ENGLISH),
    ],
)
def test_browser_preference_chooses_the_language(header: str, language: Language) -> None:
    assert choose_language(header) == language


def test_what_the_person_asked_for_wins() -> None:
    assert choose_language("en", "ja") is Language.JAPANESE
    assert choose_language("ja", "en") is Language.ENGLISH
    assert choose_language("ja", "../../etc") is Language.JAPANESE


def test_every_text_has_a_japanese_translation() -> None:
    translated = catalogue(Language.JAPANESE).messages

    assert messages().keys() - translated.keys() == set(), "missing"
    assert translated.keys() - messages().keys() == set(), "no longer used"


def test_a_text_of_two_areas_has_one_translation() -> None:
    seen: dict[str, str] = {}
    for path in Path(web.__file__).parent.glob("locale/ja/LC_MESSAGES/*.po"):
        for message, translation in read_po(path.read_text("utf-8")).items():
            assert seen.setdefault(message, translation) == translation, (path.name, message)


def test_translations_keep_placeholders_and_markup() -> None:
    places = messages()
    for message, text in catalogue(Language.JAPANESE).messages.items():
        assert set(PLACEHOLDER.findall(places[message])) == set(PLACEHOLDER.findall(text)), message
        # Menu names may be written out differently, tags must pair up alike.
        assert MARKUP.sub("", text).count("<") == 0, message
        assert text.count("<b>") == text.count("</b>") == message.count("<b>"), message


def test_plurals_follow_the_language() -> None:
    english, japanese = catalogue(Language.ENGLISH), catalogue(Language.JAPANESE)

    assert english.ngettext("once", "%(count)s more times", 1) == "once"
    assert english.ngettext("once", "%(count)s more times", 3) == "%(count)s more times"
    assert japanese.ngettext("once", "%(count)s more times", 3) == "残り%(count)s回"


def test_po_file_joins_lines_and_reads_escapes() -> None:
    source = 'msgid ""\nmsgstr "header\\n"\n\n# a\nmsgid "a "\n"b"\nmsgstr "\\"x\\"\\n"\n'

    assert read_po(source) == {"a b": '"x"\n'}


def test_empty_translation_counts_as_missing() -> None:
    assert read_po('msgid "a"\nmsgstr ""\n') == {}


def test_line_that_is_no_po_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        read_po('msgid "a"\nmsgstr nonsense\n')
