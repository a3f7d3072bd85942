"""`appliance user`: people who sign in to the page."""

from __future__ import annotations

import sys

import click

from appliance.cli.client import call, segment
from appliance.cli.output import moment, note, print_json, print_table
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/users"


@click.group(cls=Group)
def user() -> None:
    """People who sign in to the page. Works without a server."""


@user.command()
@click.argument("name")
@click.pass_obj
def add(settings: Settings, name: str) -> None:
    """Make a user. The password is asked for, or read from stdin."""
    body = {"name": name, "password": _password()}
    answer = call(settings, "POST", _PATH, body=body, serverless=True)
    if settings.json:
        print_json(answer)
    else:
        note(f"{answer['name']} can sign in now")


@user.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the users."""
    answer = call(settings, "GET", _PATH, serverless=True)
    if settings.json:
        print_json(answer)
        return
    rows = [
        (
            item["name"],
            moment(item["created_at"]),
            moment(item["password_changed_at"]),
            moment(item["signed_in_at"]),
        )
        for item in answer["items"]
    ]
    columns = ("NAME", "CREATED", "PASSWORD CHANGED", "SIGNED IN")
    print_table(columns, rows, empty="no users yet; `appliance open` shows how to make the first")


@user.command()
@click.argument("name")
@click.pass_obj
def passwd(settings: Settings, name: str) -> None:
    """Set a new password, asked for or read from stdin. All sessions of the user end."""
    body = {"password": _password()}
    call(settings, "PUT", f"{_PATH}/{segment(name)}/password", body=body, serverless=True)
    note(f"{name} has a new password, and is signed out everywhere")


@user.command()
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove a user. The last one stays."""
    call(settings, "DELETE", f"{_PATH}/{segment(name)}", serverless=True)
    note(f"{name} is removed, and signed out everywhere")


def _password() -> str:
    """Return what is typed unseen, twice, or the first line of a pipe."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")
