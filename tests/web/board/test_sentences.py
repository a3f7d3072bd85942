"""Every kind of event that is written anywhere reads as a sentence, in both languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from markupsafe import Markup

import appliance
from appliance.web.languages import Language, catalogue
from appliance.web.sentences import SENTENCES, sentence, sentence_of

FINAL = ("acknowledged", "error", "format_error", "cancelled", "expired")
NOUNS = {kind.partition(".")[0] for kind in SENTENCES}
_KIND = re.compile(rf"(?:{'|'.join(sorted(NOUNS))})\.[a-z_]+")


def written_kinds() -> set[str]:
    """Return every text of the form NOUN.WORD in modules that deal with events, but error codes."""
    kinds = set()
    for folder in ("services", "store", "tasks", "web"):
        for path in (Path(appliance.__file__).parent / folder).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            if path.name != "sentences.py" and "events" in _imported(tree) | {path.stem}:
                kinds |= _texts(tree) - _codes(tree)
    return {kind for kind in kinds if _KIND.fullmatch(kind)}


def _imported(tree: ast.Module) -> set[str]:
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.name for node in froms for name in node.names}


def _texts(tree: ast.AST) -> set[str]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {node.value for node in nodes if isinstance(node.value, str)}


def _codes(tree: ast.Module) -> set[str]:
    given = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword)
             and node.arg == "code"]  # fmt: skip
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    return {text for node in (*given, *compared) for text in _texts(node)}


def test_every_kind_that_is_written_has_a_sentence() -> None:
    kinds = written_kinds()

    assert {"device.enrolled", "command.finished", "link.created", "user.signed_in"} <= kinds
    kinds.remove("command.finished")
    kinds |= {f"command.finished.{status}" for status in FINAL}
    assert kinds - SENTENCES.keys() == set()


def test_every_sentence_can_be_said_in_both_languages() -> None:
    japanese = catalogue(Language.JAPANESE)
    for kind, entry in SENTENCES.items():
        assert entry.text in japanese.messages, kind
        for language in Language:
            said = sentence(catalogue(language), kind, {}, Markup("<b>Mac</b>"), Markup("X"))
            assert "%(" not in said, (kind, language)


def test_the_status_decides_what_is_said_of_a_finished_command() -> None:
    assert sentence_of("command.finished", {"status": "error"}).tone == "bad"
    assert sentence_of("command.finished", {"status": "acknowledged"}).tone == "ok"


def test_what_an_event_carries_is_text_never_markup() -> None:
    data = {"name": "<script>%(device)s"}
    said = sentence(catalogue(Language.ENGLISH), "token.created", data, Markup("<b>"), Markup(""))
    assert "&lt;script&gt;%(device)s" in said


def test_a_kind_of_another_release_is_named() -> None:
    assert "x.y" in sentence(catalogue(Language.ENGLISH), "x.y", {}, Markup(""), Markup(""))
