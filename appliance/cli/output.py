"""What people and programs read: results on stdout, all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import click

from appliance.errors import ApplianceError

# Of a list: heading → the key of an item, or what makes the cell of an item.
Columns: TypeAlias = Mapping[str, str | Callable[[Any], Any]]

_LONGEST_CELL = 60
_WIDEST_COLUMN = 80  # a longer name shifts its own row alone


def print_json(value: Any) -> None:
    """Print `value` as JSON; what could steer the terminal is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_list(
    answer: Mapping[str, Any],
    columns: Columns,
    *,
    as_json: bool,
    empty: str = "",
) -> None:
    """Print a list of the API: as it is in JSON, else as a table; `empty` is for no item."""
    if as_json:
        print_json(answer)
        return
    rows = [
        [item[what] if isinstance(what, str) else what(item) for what in columns.values()]
        for item in answer["items"]
    ]
    print_table(list(columns), rows, empty=empty)


def print_done(answer: Any, text: str, *, as_json: bool) -> None:
    """Print what the API answered to a change: in JSON, else as a message."""
    if as_json:
        print_json(answer)
    else:
        note(text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "") -> None:
    """Print aligned columns under their headings; `empty` goes to stderr if there is no row.

    The first is what commands name a row by, so it is never cut.
    """
    lines = [[cell(first), *map(_cut, rest)] for first, *rest in rows]
    if not lines:
        note(empty or "nothing to show")
        return
    lines.insert(0, list(columns))
    widths = [
        max(min(len(line[index]), _WIDEST_COLUMN) for line in lines)
        for index in range(len(columns))
    ]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print one `name  value` line each; what is not known is left out."""
    known = {name: cell(value) for name, value in facts.items() if value not in (None, "", [])}
    width = max(map(len, known), default=0)
    for name, text in known.items():
        click.echo(f"{name.ljust(width)}  {text}")


def note(text: str) -> None:
    """Print a message that is not the result."""
    click.echo(text, err=True)


def print_error(error: ApplianceError) -> None:
    """Print what went wrong, why, and how to fix it."""
    note(f"error[{error.code}]: {printable(error.problem)}")
    if error.why:
        note(f"why: {printable(error.why)}")
    if error.fix:
        note(f"fix: {printable(error.fix)}")


def cell(value: Any) -> str:
    """Return `value` as people read it on one line."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(cell(item) for item in value) or "-"
        case dict():
            return printable(json.dumps(value, ensure_ascii=False))
        case _:
            return printable(str(value))


def _cut(value: Any) -> str:
    text = cell(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def moment(value: str | None) -> str | None:
    """Shorten RFC 3339 in UTC to the second: `2026-01-31 12:00:00Z`."""
    return None if value is None else f"{value[:10]} {value[11:19]}Z"


def time_of(key: str) -> Callable[[Any], str | None]:
    """Return a column of `print_list`: the time under `key`."""
    return lambda item: moment(item[key])


def printable(text: str) -> str:
    """Escape what could steer the terminal: names come from devices."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
