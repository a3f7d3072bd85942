"""`appliance webhook`: receivers of what devices say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from appliance.cli.client import Client, call, run, segment
from appliance.cli.exits import FAILED
from appliance.cli.files import read_text
from appliance.cli.output import Columns, note, print_done, print_json, print_list, time_of
from appliance.cli.settings import Group, Settings
from appliance.errors import InvalidRequest

_PATH = "/api/v1/webhooks"
_RECEIVER = click.argument("name", metavar="[ID]", required=False)
_SECRET_FILE = click.option(
    "--secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Its text signs what is sent. Default: a new secret.",
)  # fmt: skip


@click.group(cls=Group)
def webhook() -> None:
    """Receivers of what devices say. `webhook.urls` names some; others are added here."""


@webhook.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the receivers and how they do."""
    answer = call(settings, "GET", _PATH)
    columns: Columns = {
        "ID": "id", "URL": "url", "ADDED": "added", "STATE": "state", "WAITING": "waiting",
        "DELIVERED": "delivered", "FAILED": "failed", "DROPPED": "dropped",
        "LAST": time_of("delivered_at"), "PROBLEM": "problem",
    }  # fmt: skip
    empty = "no receivers; `appliance webhook add URL` adds one"
    print_list(answer, columns, as_json=settings.json, empty=empty)


@webhook.command()
@click.argument("url")
@_SECRET_FILE
@click.pass_obj
def add(settings: Settings, url: str, secret_file: Path | None) -> None:
    """Send events to URL, too, and print the secret that signs them, this once.

    URL may be "-": then it is read from standard input, where other users of this machine do
    not see it. What it holds beside host and path is not shown again.
    """
    if url == "-":
        url = sys.stdin.readline().strip()
    body = {"url": url, **_secret(secret_file)}
    answer = call(settings, "POST", _PATH, body=body)
    _print_secret(settings, answer, f"webhook {answer['id']} is sent what devices say")


@webhook.command()
@_RECEIVER
@_SECRET_FILE
@click.pass_obj
def rotate(settings: Settings, name: str | None, secret_file: Path | None) -> None:
    """Sign with another secret, and for a day with the former one as well.

    ID may be left out where there is one receiver.
    """

    body = _secret(secret_file)

    async def send(client: Client) -> Any:
        path = f"{_PATH}/{await _receiver(client, name)}/rotate"
        return await client.call("POST", path, body=body)

    answer = run(settings, send)
    _print_secret(settings, answer, f"webhook {answer['id']} has another secret")


@webhook.command()
@click.argument("name", metavar="ID")
@click.pass_obj
def rm(settings: Settings, name: str) -> None:
    """Remove a receiver that was added, with what waits for it."""
    call(settings, "DELETE", f"{_PATH}/{segment(name)}")
    note(f"webhook {name} is removed")


@webhook.command()
@_RECEIVER
@click.pass_obj
def test(settings: Settings, name: str | None) -> int:
    """Send a receiver an event, now. If it takes it, it is no longer disabled.

    ID may be left out where there is one receiver.
    """

    async def send(client: Client) -> Any:
        return await client.call("POST", f"{_PATH}/{await _receiver(client, name)}/test")

    answer = run(settings, send)
    if settings.json:
        print_json(answer)
    elif answer["taken"]:
        note(f"it answered {answer['answer']} after {answer['seconds']:.2f} s")
    else:
        click.echo(f"error[webhook.failed]: {answer['problem']}", err=True)
    return 0 if answer["taken"] else FAILED


@webhook.command()
@_RECEIVER
@click.option("--status", type=click.Choice(["waiting", "delivered", "failed"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def log(settings: Settings, name: str | None, status: str | None, limit: int) -> None:
    """List what was sent to a receiver or waits for it, newest first.

    ID may be left out where there is one receiver.
    """

    async def read(client: Client) -> Any:
        path = f"{_PATH}/{await _receiver(client, name)}/deliveries"
        return await client.pages(path, query={"status": status}, limit=limit)

    columns: Columns = {
        "NUMBER": "id", "CREATED": time_of("created_at"), "TOPIC": "topic", "DEVICE": "device",
        "STATUS": "status", "ATTEMPTS": "attempts", "ANSWER": "answer", "PROBLEM": "problem",
        "NEXT": time_of("next_attempt_at"),
    }  # fmt: skip
    print_list(run(settings, read), columns, as_json=settings.json, empty="nothing was sent yet")


@webhook.command()
@_RECEIVER
@click.option(
    "--delivery", "deliveries", type=int, multiple=True, metavar="NUMBER",
    help="This event of the log; repeatable. Default: all that failed.",
)  # fmt: skip
@click.pass_obj
def replay(settings: Settings, name: str | None, deliveries: tuple[int, ...]) -> None:
    """Send a receiver again what failed, and try it at once, disabled or not.

    ID may be left out where there is one receiver.
    """
    body = {"deliveries": list(deliveries)} if deliveries else {}

    async def send(client: Client) -> Any:
        path = f"{_PATH}/{await _receiver(client, name)}/replay"
        return await client.call("POST", path, body=body)

    answer = run(settings, send)
    print_done(answer, f"{answer['replayed']} events are sent again", as_json=settings.json)


def _secret(file: Path | None) -> dict[str, str]:
    return {} if file is None else {"secret": read_text(file).strip()}


def _print_secret(settings: Settings, answer: Any, done: str) -> None:
    if settings.json:
        print_json(answer)
        return
    click.echo(answer["secret"])
    note(f"{done}; keep the secret safe, it is not shown again")


async def _receiver(client: Client, name: str | None) -> str:
    if name is not None:
        return segment(name)
    found = (await client.call("GET", _PATH))["items"]
    if len(found) != 1:
        raise InvalidRequest(
            f"there are {len(found)} receivers", fix="name one; see `appliance webhook list`"
        )
    return str(found[0]["id"])
