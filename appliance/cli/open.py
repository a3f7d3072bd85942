"""`appliance open`: the page, for whoever administers this machine."""

from __future__ import annotations

import click

from appliance.cli.browser import open_browser
from appliance.cli.client import call
from appliance.cli.output import moment, note, print_json
from appliance.cli.settings import Command, Settings


@click.command("open", cls=Command)
@click.option("--user", metavar="NAME", help="Who signs in, if there are several users.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.pass_obj
def open_(settings: Settings, user: str | None, no_browser: bool) -> None:
    """Print an address that signs you in once, and open it if there is a browser.

    While there is no user yet, the address makes the first one.
    """
    answer = call(settings, "POST", "/api/v1/sign-in-codes", body={"user": user})
    if settings.json:
        print_json(answer)
        return
    click.echo(answer["url"])
    does = f"signs in {answer['user']}" if answer["user"] else "makes the first account"
    note(f"it {does}, once, until {moment(answer['expires_at'])}")
    if not no_browser:
        open_browser(answer["url"])
