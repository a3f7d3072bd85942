"""`appliance version`: this release and the libraries that it runs on."""

from __future__ import annotations

from dataclasses import asdict

import click

from appliance.cli.output import note, print_json
from appliance.cli.settings import Command, Settings


@click.command(cls=Command)
@click.pass_obj
def version(settings: Settings) -> None:
    """Show the version, and those of the libraries inside."""
    from appliance.versions import versions, warnings

    running = versions()
    old = warnings(running)
    if settings.json:
        print_json({**asdict(running), "warnings": old})
        return
    kind = "executable" if running.frozen else "source"
    click.echo(f"appliance {running.version} ({kind}, {running.platform})")
    click.echo(
        f"Python {running.python}, SQLite {running.sqlite}, expat {running.expat}, "
        f"{_short(running.openssl)} for TLS, {_short(running.cryptography_openssl)} for the rest"
    )
    for sentence in old:
        note(f"warning: {sentence}")


def _short(openssl: str) -> str:
    """Leave out the date of an OpenSSL version text."""
    return " ".join(openssl.split()[:2])
