"""Help texts change on purpose; `UPDATE_GOLDEN=1 pytest tests/cli/test_help.py` renews them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.cli import root

from .conftest import Cli

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "cli"


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, (*path, name))


COMMANDS = list(_commands(root))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "appliance")
def test_help_is_as_before(run: Cli, path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    golden = GOLDEN / f"{'-'.join(('appliance', *path))}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(done.out)
    assert done.status == 0
    assert done.out == golden.read_text()


def test_there_is_no_golden_file_without_its_command() -> None:
    expected = {f"{'-'.join(('appliance', *path))}.txt" for path in COMMANDS}
    assert {path.name for path in GOLDEN.iterdir()} == expected


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "appliance")
def test_every_command_says_what_it_does_and_takes_the_common_options(
    run: Cli, path: tuple[str, ...]
) -> None:
    text = run(*path, "--help").out
    for option in ("--data", "--config", "--json"):
        assert option in text
