"""`appliance user`: people who sign in to the page."""

from __future__ import annotations

import sys

import click

from appliance.cli.client import call, segment
from appliance.cli.output import Columns, note, print_done, print_list, time_of
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
    print_done(answer, f"{answer['name']} can sign in now", as_json=settings.json)


@user.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the users."""
    answer = call(settings, "GET", _PATH, serverless=True)
    columns: Columns = {
        "NAME": "name", "CREATED": time_of("created_at"),
        "PASSWORD CHANGED": time_of("password_changed_at"), "SIGNED IN": time_of("signed_in_at"),
    }  # fmt: skip
    empty = "no users yet; `appliance open` shows how to make the first"
    print_list(answer, columns, as_json=settings.json, empty=empty)


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
