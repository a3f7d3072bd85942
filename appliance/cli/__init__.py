"""The command line: `appliance NOUN VERB`. Every noun is a file; none is read before it is used."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

import click

from appliance.cli.exits import FAILED, INTERRUPTED, exit_status
from appliance.cli.output import print_error
from appliance.cli.settings import LazyGroup, Settings
from appliance.errors import ApplianceError

NOUNS = {
    "demo": "demo:demo",
    "init": "init:init",
    "serve": "serve:serve",
    "status": "status:status",
    "version": "version:version",
    "service": "service:service",
    "selfcheck": "selfcheck:selfcheck",
    "device": "device:device",
    "command": "command:command",
    "enroll": "enroll:enroll",
    "push-cert": "push_cert:push_cert",
    "tls": "tls:tls",
    "ca": "ca:ca",
    "migration": "migration:migration",
    "backup": "backup:backup",
    "restore": "restore:restore",
    "vault": "vault:vault",
    "token": "token:token",
    "user": "user:user",
    "webhook": "webhook:webhook",
    "open": "open:open_",
    "simulate": "simulate:simulate",
}

root = LazyGroup(
    name="appliance",
    nouns=NOUNS,
    help="An Apple MDM server in one process.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; errors are printed on stderr."""
    try:
        outcome = root.main(arguments, "appliance", standalone_mode=False, obj=Settings())
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone; that is its good right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # every end of a command is one error with a status
        return _explain(error)
    return outcome if isinstance(outcome, int) else 0


def _explain(error: Exception) -> int:
    while isinstance(error, ExceptionGroup):
        named = [one for one in error.exceptions if isinstance(one, ApplianceError)]
        if not named and len(error.exceptions) > 1:
            break
        error = (named or error.exceptions)[0]  # what fails beside it follows from it
    match error:
        case ApplianceError():
            print_error(error)
            return exit_status(error)
        case click.ClickException():
            _print_usage_error(error)
            return error.exit_code
        case OSError():
            click.echo(f"error[system]: {error}", err=True)
            return FAILED
        case _:
            traceback.print_exception(error)
            # The repr of a UnicodeError holds all of what was read, which may be a secret.
            what = type(error).__name__ if isinstance(error, UnicodeError) else repr(error)
            click.echo(f"error[internal]: {what}", err=True)
            return FAILED


def _print_usage_error(error: click.ClickException) -> None:
    click.echo(f"error[usage]: {error.format_message()}", err=True)
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"fix: see `{context.command_path} --help`", err=True)
