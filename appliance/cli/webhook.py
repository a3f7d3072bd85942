"""`appliance webhook`: receivers of what devices say."""

from __future__ import annotations

from typing import Any

import click

from appliance.cli.client import Client, call, run, segment
from appliance.cli.exits import FAILED
from appliance.cli.output import Columns, note, print_done, print_json, print_list, time_of
from appliance.cli.settings import Group, Settings
from appliance.errors import InvalidRequest

_PATH = "/api/v1/webhooks"
_RECEIVER = click.argument("name", metavar="[ID]", required=False)


@click.group(cls=Group)
def webhook() -> None:
    """Receivers of what devices say. `webhook.urls` in appliance.toml names them."""


@webhook.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the receivers and how they do."""
    answer = call(settings, "GET", _PATH)
    columns: Columns = {
        "ID": "id", "URL": "url", "STATE": "state", "WAITING": "waiting",
        "DELIVERED": "delivered", "FAILED": "failed", "DROPPED": "dropped",
        "LAST": time_of("delivered_at"), "PROBLEM": "problem",
    }  # fmt: skip
    empty = "no receivers; `webhook.urls` in appliance.toml names them"
    print_list(answer, columns, as_json=settings.json, empty=empty)


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


async def _receiver(client: Client, name: str | None) -> str:
    if name is not None:
        return segment(name)
    found = (await client.call("GET", _PATH))["items"]
    if len(found) != 1:
        raise InvalidRequest(
            f"there are {len(found)} receivers", fix="name one; `appliance webhook list` has them"
        )
    return str(found[0]["id"])
