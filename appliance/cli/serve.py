"""`appliance serve`: the server, in the foreground."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from appliance import logs
from appliance.cli.output import note
from appliance.cli.passphrase import ask
from appliance.cli.settings import Command, Settings

if TYPE_CHECKING:
    from appliance.services.accounts import OneTimeCode


@click.command(cls=Command)
@click.option("--listen", multiple=True, metavar="ADDR:PORT", help="Instead of server.listen.")
@click.pass_obj
def serve(settings: Settings, listen: tuple[str, ...]) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    from appliance import app

    config = settings.config()
    if listen:
        config = replace(config, server=replace(config.server, listen=listen))
    logs.configure(config.log.format, config.log.level)
    run_server(app.serve(config, _show_setup, ask))


def _show_setup(setup: OneTimeCode) -> None:
    """Print it for the person at the terminal; it never goes through the log."""
    with suppress(OSError):  # nobody can read it: `appliance open` makes another
        note(f"there is no account yet; create the first one:\n  {setup.url}")


def run_server(server: Coroutine[Any, Any, None]) -> None:
    """Run it to its end, by uvloop where there is one: an idle TLS connection costs it a tenth."""
    try:
        import uvloop
    except ImportError:  # it has no build for every platform
        asyncio.run(server)
    else:
        uvloop.run(server)
