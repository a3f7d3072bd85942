"""Promises about the code itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_TRUST = _ROOT / "docs" / "trust.md"
_SOURCES = sorted((_ROOT / "appliance").rglob("*.py"))
_LONGEST_FILE = 400
_LONGEST_FUNCTION = 40


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_files_and_functions_stay_short_and_documented(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says in one line what it is"
    assert len(text.splitlines()) <= _LONGEST_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= _LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_every_document_that_is_named_exists() -> None:
    readme = (_ROOT / "README.md").read_text()
    for name in ("docs/architecture.md", "docs/operations.md", "docs/decisions", "CHANGELOG.md"):
        assert name in readme
        assert (_ROOT / name).exists()


def test_the_executable_is_built_of_the_locked_libraries() -> None:
    """`requirements/build.lock` is made of `runtime.lock` and what builds alone."""

    def pinned(name: str) -> set[str]:
        lines = (_ROOT / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith(" ")}

    assert pinned("runtime.lock") <= pinned("build.lock")


def test_every_row_of_the_threats_names_what_shows_it() -> None:
    """`docs/trust.md`: the files and tests that it names exist, and carry the row's identifier."""
    rows = re.findall(r"^\| ([A-H]-\d\d) \| (.*?) \| (.*?) \|$", _TRUST.read_text(), re.MULTILINE)
    assert len(rows) > 90
    named: dict[str, set[str]] = {}
    functions: set[str] = set()
    for path in (_ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"def (test_\w+)", path.read_text()):
            functions.add(name)
            for letter, number in re.findall(r"(?:^test|(?<=\d))_([a-h])_?(\d\d)(?=_)", name):
                row = f"{letter.upper()}-{number}"
                named.setdefault(row, set()).add(str(path.relative_to(_ROOT)))
    assert named.keys() <= {row for row, _, _ in rows}
    for row, shown, beyond in rows:
        words = set(re.findall(r"`([^`]+)`", f"{shown} {beyond}"))
        tests = {word for word in words if word.startswith("test_")}
        assert tests <= functions, (row, tests - functions)
        for word in words:
            if word.startswith(("tests/", "scripts/", "docs/")):
                assert (_ROOT / word.split()[0]).exists(), (row, word)
        files = set(re.findall(r"`(tests/[^`]+)`", shown))
        if files and not tests:
            assert files <= named.get(row, set()), row
        assert shown == "nothing" or files or tests or "`scripts/" in shown, row
        assert shown != "nothing" or beyond, f"{row}: why is there nothing?"
