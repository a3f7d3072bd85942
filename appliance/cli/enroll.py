"""`appliance enroll`: links and profiles that let devices enroll."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.cli.client import Client, call, run, segment
from appliance.cli.output import moment, note, print_facts, print_json, print_table
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

    async def fetch(client: Client) -> tuple[str, bytes]:
        used = code or (await client.call("POST", _PATH, body={"label": "profile"}))["code"]
        return used, await client.bytes("GET", f"{_PATH}/{segment(used)}/profile")

    used, content = run(settings, fetch, serverless=True)
    output.write_bytes(content)
    if settings.json:
        print_json({"code": used, "file": str(output)})
    else:
        note(f"{output}: holds a one-time challenge, for one device (link {used})")


@enroll.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the links, newest first."""
    answer = call(settings, "GET", _PATH, serverless=True)
    if settings.json:
        print_json(answer)
        return
    rows = [_row(item) for item in answer["items"]]
    columns = ("CODE", "STATE", "USED", "EXPIRES", "LABEL")
    print_table(columns, rows, empty="no links; make one with `appliance enroll link`")


@enroll.command()
@click.argument("code")
@click.pass_obj
def revoke(settings: Settings, code: str) -> None:
    """Revoke a link and every profile that came of it."""
    answer = call(settings, "DELETE", f"{_PATH}/{segment(code)}", serverless=True)
    if settings.json:
        print_json(answer)
    else:
        note(f"link {code} is revoked")


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    used = f"{item['used']} of {item['uses']}"
    return item["code"], item["state"], used, moment(item["expires_at"]), item["label"]
