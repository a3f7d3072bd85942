"""`appliance enroll`: links and profiles that let devices enroll."""

from __future__ import annotations

import os
from pathlib import Path

import click

from appliance.cli.client import Client, call, run, segment
from appliance.cli.output import Columns, print_done, print_facts, print_json, print_list, time_of
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/enrollment-links"


@click.group(cls=Group)
def enroll() -> None:
    """Enrollment links and profiles."""


@enroll.command()
@click.option("--uses", type=click.IntRange(1), default=1, show_default=True, help="Devices.")
@click.option("--expires", metavar="DURATION", default="7d", show_default=True)
@click.option("--label", default="", help="What it is for.")
@click.pass_obj
def link(settings: Settings, uses: int, expires: str, label: str) -> None:
    """Make a link that lets devices enroll. Works without a server."""
    body = {"uses": uses, "expires_in": expires, "label": label}
    answer = call(settings, "POST", _PATH, body=body, serverless=True)
    if settings.json:
        print_json(answer)
        return
    print_facts({key: answer[key] for key in ("url", "profile_url", "code")})


@enroll.command()
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", required=True,
    help="Where to write the .mobileconfig.",
)  # fmt: skip
@click.option("--code", help="Of an existing link; else a new one, for one device, is made.")
@click.pass_obj
def profile(settings: Settings, output: Path, code: str | None) -> None:
    """Write an enrollment profile, good for one device."""
    if not output.absolute().parent.is_dir():  # a link that nobody knows of would be left
        raise click.BadParameter(f"there is no directory {output.parent}", param_hint="-o")

    async def fetch(client: Client) -> tuple[str, bytes]:
        used = code or (await client.call("POST", _PATH, body={"label": "profile"}))["code"]
        return used, await client.bytes("GET", f"{_PATH}/{segment(used)}/profile")

    used, content = run(settings, fetch, serverless=True)
    _write_private(output, content)
    text = f"{output}: holds a one-time challenge, for one device (link {used})"
    print_done({"code": used, "file": str(output)}, text, as_json=settings.json)


@enroll.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the links, newest first."""
    answer = run(
        settings, lambda client: client.pages(_PATH, query={}, limit=None), serverless=True
    )
    columns: Columns = {
        "CODE": "code", "STATE": "state", "USED": lambda item: f"{item['used']} of {item['uses']}",
        "EXPIRES": time_of("expires_at"), "LABEL": "label",
    }  # fmt: skip
    empty = "no links; make one with `appliance enroll link`"
    print_list(answer, columns, as_json=settings.json, empty=empty)


@enroll.command()
@click.argument("code")
@click.pass_obj
def revoke(settings: Settings, code: str) -> None:
    """Revoke a link and every profile that came of it."""
    answer = call(settings, "DELETE", f"{_PATH}/{segment(code)}", serverless=True)
    print_done(answer, f"link {code} is revoked", as_json=settings.json)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, if it is a new one: its challenge lets in."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
