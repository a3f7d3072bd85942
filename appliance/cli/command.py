"""`appliance command`: send commands to devices, and read their answers."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from pathlib import Path
from typing import Any

import click

from appliance.cli.client import Client, call, run, segment
from appliance.cli.durations import until
from appliance.cli.exits import FAILED, PARTLY_FAILED, TIMED_OUT
from appliance.cli.output import (
    moment,
    note,
    print_done,
    print_facts,
    print_json,
    print_list,
    print_table,
)
from appliance.cli.parameters import parse_parameters
from appliance.cli.settings import Group, Settings
from appliance.mdm.catalogue import catalogue

_PATH = "/api/v1/commands"
_LONGEST_POLL_SECONDS = 30


@click.group(cls=Group)
def command() -> None:
    """Commands to devices."""


@command.command()
@click.argument("query", required=False)
@click.pass_obj
def types(settings: Settings, query: str | None) -> None:
    """List the request types; `!` marks those that need --confirm."""
    answer = call(settings, "GET", "/api/v1/command-types")
    wanted = [
        item for item in answer["items"] if (query or "").lower() in item["request_type"].lower()
    ]
    print_list(
        {**answer, "items": wanted},
        {
            "REQUEST TYPE": lambda item: item["request_type"] + ("!" if item["dangerous"] else ""),
            "PLATFORMS": lambda item: sorted(item["platforms"]),
            "KEYS (* required)": lambda item: [
                key + ("*" if key in item["required"] else "") for key in item["keys"]
            ],
        },
        as_json=settings.json,
        empty="none of that name",
    )


@command.command()
@click.argument("words", nargs=-1, required=True, metavar="ID... REQUEST_TYPE")
@click.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="One key; repeatable.")
@click.option(
    "--plist", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A whole command as XML plist, in place of REQUEST_TYPE.",
)  # fmt: skip
@click.option("--no-push", is_flag=True, help="Do not wake the device.")
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait for the answer.")
@click.option("--confirm", metavar="SERIAL", help="The serial number, for a dangerous command.")
@click.option(
    "--undo", type=click.FloatRange(0, 60), default=0.0, metavar="SECONDS",
    help="Hold it for so long; `command cancel` then leaves nothing sent.",
)  # fmt: skip
@click.option("--reason", default="", metavar="TEXT", help="Why, for the audit.")
@click.option("--expires", metavar="WHEN", help='"7d", "12h", or a time such as 2027-01-31T12:00Z.')
@click.pass_obj
def send(settings: Settings, /, words: tuple[str, ...], **options: Any) -> int:
    """Queue a command for each ID (or serial number), for all or none.

    VALUE is read as JSON when it parses, else as text; KEY.SUB=VALUE nests; a repeated KEY makes
    a list, as what is nested does where one is wanted: -p Settings.Item=DeviceName. Data are
    base64, or a file: -p Payload=@wifi.mobileconfig.
    """
    body = _order(words, **options)
    return run(settings, lambda client: _send(settings, client, body, options["wait"]))


@command.command()
@click.argument("uuid", metavar="UUID")
@click.pass_obj
def show(settings: Settings, uuid: str) -> None:
    """Show one command with the device's answer."""
    _print_command(settings, call(settings, "GET", f"{_PATH}/{segment(uuid)}"))


@command.command()
@click.argument("uuid", metavar="UUID")
@click.pass_obj
def cancel(settings: Settings, uuid: str) -> None:
    """Cancel a command that no device has received."""
    answer = call(settings, "DELETE", f"{_PATH}/{segment(uuid)}")
    print_done(answer, f"{uuid} is {answer['status']}", as_json=settings.json)


@command.command()
@click.argument("uuid", metavar="UUID")
@click.option("--confirm", metavar="SERIAL", help="The device's serial number.")
@click.pass_obj
def release(settings: Settings, uuid: str, confirm: str | None) -> None:
    """Send a dangerous command that was held when a backup was restored."""
    body = {} if confirm is None else {"confirm": {"serial_number": confirm}}
    answer = call(settings, "POST", f"{_PATH}/{segment(uuid)}/release", body=body)
    print_done(answer, f"{uuid} is released", as_json=settings.json)


@command.command()
@click.argument("uuid", metavar="UUID")
@click.option("--reason", metavar="TEXT", help="Why, for the audit; asked for at a terminal.")
@click.option("--device", metavar="ID|SERIAL", help="Which, where it was sent to several.")
@click.pass_obj
def secrets(settings: Settings, uuid: str, reason: str | None, device: str | None) -> None:
    """Show one command with its secrets, on the record; at most 10 in an hour."""
    if reason is None and sys.stdin.isatty():
        reason = click.prompt("Why (it is recorded)", err=True)
    body = {"reason": reason or "", "target": device}
    answer = call(settings, "POST", f"{_PATH}/{segment(uuid)}/secrets", body=body)
    _print_command(settings, answer)
    if answer["parameters"] and not settings.json:
        click.echo("\nSent")
        print_json(answer["parameters"])


@command.command()
@click.pass_obj
def restored(settings: Settings) -> None:
    """List what a restore has held, or may make happen twice."""
    answer = call(settings, "GET", "/api/v1/restored-commands")
    if settings.json:
        print_json(answer)
        return
    print_restored(answer["items"])


def print_restored(items: list[dict[str, Any]]) -> None:
    """Print what a person has to think of after a restore."""
    rows = [
        (
            item["id"],
            item["name"],
            item["request_type"],
            "held" if item["held"] else "may happen twice",
        )
        for item in items
    ]
    print_table(("COMMAND", "DEVICE", "REQUEST TYPE", "STATE"), rows, empty="nothing is left")


def _order(
    words: tuple[str, ...],
    *,
    parameters: tuple[str, ...],
    plist: Path | None,
    no_push: bool,
    wait: float | None,
    confirm: str | None,
    expires: str | None,
    undo: float,
    reason: str,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "push": not no_push, "expires_at": until(expires), "undo_seconds": undo, "reason": reason,
    }  # fmt: skip
    if plist is not None:
        if parameters:
            raise click.UsageError("-p does not go with --plist, which is the whole command")
        named = words[-1] in catalogue() and len(words) > 1
        body["targets"] = list(words[:-1] if named else words)
        body["plist"] = base64.b64encode(plist.read_bytes()).decode()
    else:
        if len(words) < 2:
            raise click.UsageError("name at least one ID and a REQUEST_TYPE")
        body["targets"], body["request_type"] = list(words[:-1]), words[-1]
        body["parameters"] = parse_parameters(parameters, words[-1])
    if confirm is not None:
        body["confirm"] = {"serial_number": confirm}
    return body


async def _send(settings: Settings, client: Client, body: Any, wait: float | None) -> int:
    answer = await client.call("POST", _PATH, body=body)
    for queued in answer["commands"]:
        for warning in queued.get("warnings", ()):
            note(f"warning: {queued['target']}: {warning}")
        if queued["not_before"] is not None:
            note(f"held until {moment(queued['not_before'])}: `command cancel {queued['id']}`")
    if wait is None:
        _print_queued(settings, answer)
        return 0
    deadline = time.monotonic() + wait
    finished = [await _finished(client, queued, deadline) for queued in answer["commands"]]
    if settings.json:
        print_json({"commands": finished})
    else:
        for item in finished:
            _print_command(settings, item)
    return _outcome(finished)


async def _finished(client: Client, queued: Any, deadline: float) -> Any:
    """Return the command of this target once it is finished, or as it is at the deadline."""
    while True:
        left = max(0.0, min(deadline - time.monotonic(), _LONGEST_POLL_SECONDS))
        path = f"{_PATH}/{segment(queued['id'])}"
        answer = await client.call("GET", path, query={"wait": round(left, 3)})
        mine = next(
            item for item in answer.get("channels", [answer]) if item["target"] == queued["target"]
        )
        if mine["finished_at"] is not None or time.monotonic() >= deadline:
            return mine
        await asyncio.sleep(0.05)


def _outcome(finished: list[Any]) -> int:
    good = sum(item["status"] == "acknowledged" for item in finished)
    if good == len(finished):
        return 0
    if any(item["finished_at"] is None for item in finished):
        return TIMED_OUT
    return PARTLY_FAILED if good else FAILED


def _print_queued(settings: Settings, answer: Any) -> None:
    if settings.json:
        print_json(answer)
        return
    for queued in answer["commands"]:
        click.echo(queued["id"])


def _print_command(settings: Settings, answer: Any) -> None:
    if settings.json:
        print_json(answer)
        return
    times = {key: moment(value) for key, value in answer.items() if key.endswith("_at")}
    hidden = ("result", "error_chain", "channels", "parameters")
    print_facts({**{k: v for k, v in answer.items() if k not in hidden}, **times})
    for error in answer["error_chain"]:
        note(f"device says: {error}")
    if answer["result"]:
        click.echo()
        print_json(answer["result"])
