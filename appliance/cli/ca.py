"""`appliance ca`: the authority that issues the devices' identities."""

from __future__ import annotations

import click

from appliance.cli.client import call
from appliance.cli.output import moment, print_facts, print_json
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/certificate-authority"


@click.group(cls=Group)
def ca() -> None:
    """The certificate authority for device identities."""


@ca.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the authority and what it has issued."""
    answer = call(settings, "GET", _PATH)
    if settings.json:
        print_json(answer)
    else:
        print_facts({**answer, "not_after": moment(answer["not_after"])})


@ca.command()
@click.argument("name", metavar="SERIAL|ENROLLMENT_ID")
@click.pass_obj
def revoke(settings: Settings, name: str) -> None:
    """Revoke a device's identity certificate.

    The device is refused from its next request on and keeps its management. A new link enrolls it
    again; if the certificate was not its current one, `appliance device forget` comes first.
    """
    answer = call(settings, "POST", f"{_PATH}/revoke", body={"name": name})
    if settings.json:
        print_json(answer)
    else:
        click.echo(f"revoked {answer['serial']}")
