"""`appliance selfcheck`: does this build have all it needs?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from appliance.cli.exits import DAMAGED
from appliance.cli.output import note, print_json, printable
from appliance.cli.settings import Command, LazyGroup, Settings
from appliance.selfcheck import CHECKS, Outcome, run_checks
from appliance.versions import versions, warnings


@click.command(cls=Command)
@click.pass_context
def selfcheck(context: click.Context) -> int:
    """Prove that this build is whole; needs no server and changes nothing."""
    outcomes = run_checks({"command line": lambda: _check_nouns(context), **CHECKS})
    ok = all(outcome.ok for outcome in outcomes)
    running = versions()
    if context.ensure_object(Settings).json:
        print_json({"ok": ok, "checks": [asdict(outcome) for outcome in outcomes]})
    else:
        _print(outcomes)
        for sentence in warnings(running):
            note(f"warning: {sentence}")
    return 0 if ok else DAMAGED


def _check_nouns(context: click.Context) -> str:
    """Load every noun; the help texts are docstrings, which a build can lose."""
    root = context.find_root().command
    assert isinstance(root, LazyGroup)  # noqa: S101 - there is no other root
    names = root.list_commands(context)
    silent = [name for name in names if not getattr(root.get_command(context, name), "help", "")]
    if silent:
        raise LookupError(f"no help for {', '.join(silent)}")
    return f"{len(names)} nouns"


def _print(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        mark = "✔" if outcome.ok else "✖"
        text = printable(outcome.detail or outcome.error)
        click.echo(f"{mark} {outcome.name:18}{outcome.milliseconds:7.1f} ms  {text}".rstrip())
    broken = sum(not outcome.ok for outcome in outcomes)
    if broken:
        note(f"{broken} of {len(outcomes)} checks failed: this build is damaged")
