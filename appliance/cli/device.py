"""`appliance device`: the devices, and what may be done to their enrollment."""

from __future__ import annotations

import json
from typing import Any

import click

from appliance.cli.client import call, run, segment
from appliance.cli.output import (
    Columns,
    moment,
    print_done,
    print_facts,
    print_json,
    print_list,
    time_of,
)
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/devices"


@click.group(cls=Group)
def device() -> None:
    """The devices."""


@device.command("list")
@click.argument("query", required=False)
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.option(
    "--channel", type=click.Choice(("device", "user", "all")), default="device", show_default=True,
    help="Of devices, of their users, or both.",
)  # fmt: skip
@click.pass_obj
def listing(settings: Settings, query: str | None, limit: int | None, channel: str) -> None:
    """List devices; QUERY is looked for in id, serial number, name, model and OS version."""
    asked = {"q": query, "channel": channel}
    answer = run(settings, lambda client: client.pages(_PATH, query=asked, limit=limit))
    columns: Columns = {
        "ID": "id", "SERIAL": "serial_number", "NAME": "name", "MODEL": "model",
        "OS": "os_version", "STATE": _state, "LAST SEEN": time_of("last_seen"),
        "QUEUED": "queue_depth",
    }  # fmt: skip
    empty = "no devices; `appliance enroll link` lets one enroll"
    print_list(answer, columns, as_json=settings.json, empty=empty)


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.pass_obj
def show(settings: Settings, name: str) -> None:
    """Show one device with its last answers."""
    _print_device(settings, call(settings, "GET", f"{_PATH}/{segment(name)}"))


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def history(settings: Settings, name: str, limit: int) -> None:
    """List a device's commands, newest first."""
    path = f"{_PATH}/{segment(name)}/commands"
    answer = run(settings, lambda client: client.pages(path, query={}, limit=limit))
    columns: Columns = {
        "ID": "id", "REQUEST TYPE": "request_type", "STATUS": "status",
        "QUEUED": time_of("queued_at"), "FINISHED": time_of("finished_at"),
    }  # fmt: skip
    print_list(answer, columns, as_json=settings.json, empty="no commands")


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def events(settings: Settings, name: str, limit: int) -> None:
    """List what happened to a device, newest first."""
    path = f"{_PATH}/{segment(name)}/events"
    answer = run(settings, lambda client: client.pages(path, query={}, limit=limit))
    columns: Columns = {"AT": time_of("at"), "EVENT": "kind", "DATA": _data}
    print_list(answer, columns, as_json=settings.json, empty="no events")


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.pass_obj
def block(settings: Settings, name: str) -> None:
    """Block a device: when it next connects, it removes its management."""
    _act(settings, name, "block", "is blocked; when it next connects, it removes its management")


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.pass_obj
def unblock(settings: Settings, name: str) -> None:
    """Lift the block."""
    _act(settings, name, "unblock", "is no longer blocked")


@device.command()
@click.argument("name", metavar="ID|SERIAL")
@click.pass_obj
def forget(settings: Settings, name: str) -> None:
    """End an enrollment on the server's side; the device may enroll again."""
    _act(settings, name, "forget", "is forgotten; it may enroll again by any valid link")


@device.command("allow-reenrollment")
@click.argument("name", metavar="ID|SERIAL")
@click.option("--minutes", type=click.IntRange(1, 10_080), default=60, show_default=True)
@click.pass_obj
def allow_reenrollment(settings: Settings, name: str, minutes: int) -> None:
    """Let a known device enroll again with a new identity."""
    text = f"may enroll again with a new identity for {minutes} minutes"
    _act(settings, name, "allow-reenrollment", text, body={"minutes": minutes})


@device.command("renew-identity")
@click.argument("name", metavar="ID|SERIAL")
@click.pass_obj
def renew_identity(settings: Settings, name: str) -> None:
    """Send a device what it needs to renew its identity certificate."""
    answer = call(settings, "POST", f"{_PATH}/{segment(name)}/renew-identity")
    if settings.json:
        print_json(answer)
    else:
        click.echo(answer["commands"][0]["id"])


def _act(settings: Settings, name: str, verb: str, text: str, *, body: Any = None) -> None:
    answer = call(settings, "POST", f"{_PATH}/{segment(name)}/{verb}", body=body)
    print_done(answer, f"{answer['id']} {text}", as_json=settings.json)


def _state(item: Any) -> str:
    is_erased = item["erased"] and item["state"] == "enrolled"
    return "erased" if is_erased else str(item["state"])


def _data(item: Any) -> str:
    return json.dumps(item["data"]) if item["data"] else ""


def _print_device(settings: Settings, answer: dict[str, Any]) -> None:
    if settings.json:
        print_json(answer)
        return
    times = (
        "last_seen", "enrolled_at", "push_sent_at", "certificate_not_after", "renewal_queued_at",
    )  # fmt: skip
    parts = ("facts", "information", "information_at", "security", "security_at")
    shown = {key: value for key, value in answer.items() if key not in parts}
    print_facts({**shown, **{key: moment(answer[key]) for key in times}})
    for part in ("information", "security"):
        if answer[part]:
            click.echo(f"\n{part} ({moment(answer[part + '_at'])})")
            print_facts(answer[part])
