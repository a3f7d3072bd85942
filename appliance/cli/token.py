"""`appliance token`: what programs prove themselves with."""

from __future__ import annotations

import click

from appliance.cli.client import call, segment
from appliance.cli.durations import until
from appliance.cli.output import Columns, note, print_json, print_list, time_of
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/tokens"
_SCOPES = ("read", "write", "danger", "secrets", "admin")


@click.group(cls=Group)
def token() -> None:
    """Tokens for programs that use the API."""


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), metavar="SCOPE",
    help=f"One of {', '.join(_SCOPES)}; repeatable. Default: read and write.",
)  # fmt: skip
@click.option(
    "--expires", metavar="WHEN", help='"90d", "12h", or a time such as 2027-01-31T12:00Z.'
)
@click.pass_obj
def create(settings: Settings, name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token and print it, this once. Works without a server."""
    body = {"name": name, "scopes": list(scopes) or ["read", "write"], "expires_at": until(expires)}
    answer = call(settings, "POST", _PATH, body=body, serverless=True)
    if settings.json:
        print_json(answer)
        return
    click.echo(answer["token"])
    note(f"token {name}: {', '.join(answer['scopes'])}; keep it safe, it is not shown again")


@token.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the tokens, without their texts."""
    answer = call(settings, "GET", _PATH, serverless=True)
    columns: Columns = {
        "NAME": "name", "SCOPES": "scopes", "CREATED": time_of("created_at"),
        "EXPIRES": time_of("expires_at"), "REVOKED": time_of("revoked_at"),
    }  # fmt: skip
    print_list(answer, columns, as_json=settings.json, empty="no tokens yet")


@token.command()
@click.argument("name")
@click.pass_obj
def revoke(settings: Settings, name: str) -> None:
    """Make a token useless from now on."""
    call(settings, "DELETE", f"{_PATH}/{segment(name)}", serverless=True)
    note(f"token {name} is revoked")
