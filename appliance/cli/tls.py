"""`appliance tls`: the certificate that the server shows."""

from __future__ import annotations

import click

from appliance.cli.client import call
from appliance.cli.output import moment, print_facts, print_json
from appliance.cli.settings import Group, Settings


@click.group(cls=Group)
def tls() -> None:
    """The server's own TLS certificate."""


@tls.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show for which URL it is and when it ends."""
    answer = call(settings, "GET", "/api/v1/status")
    shown = {"url": answer["url"], "not_after": answer["tls_not_after"]}
    if settings.json:
        print_json(shown)
    else:
        print_facts({"url": shown["url"], "until": moment(shown["not_after"])})
