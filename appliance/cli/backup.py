"""`appliance backup`: encrypted files that hold everything the server needs to be made anew."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import click

from appliance.cli.client import Client, call, run
from appliance.cli.ending import tidy_end
from appliance.cli.output import Columns, moment, note, print_facts, print_json, print_list, time_of
from appliance.cli.passphrase import ask
from appliance.cli.settings import Group, Settings
from appliance.errors import Conflict

_PATH = "/api/v1/backups"
_LONGEST_SECONDS = 6 * 3600

KEY = click.option(
    "--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="APPLIANCE_BACKUP_KEY", metavar="FILE",
    help="File with the key that `init` printed; or APPLIANCE_BACKUP_KEY.",
)  # fmt: skip
SOURCE = click.argument(
    "source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group(cls=Group)
def backup() -> None:
    """Encrypted backups."""


@backup.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also copy it there, which must not exist.",
)  # fmt: skip
@click.pass_obj
def create(settings: Settings, output: Path | None) -> None:
    """Make a backup of this moment. Works without a server."""
    if output is not None and output.exists():
        raise Conflict(f"{output} exists", code="backup.exists", fix="name another file")

    async def make(client: Client) -> Any:
        timeout = aiohttp.ClientTimeout(total=_LONGEST_SECONDS)
        return await client.call("POST", _PATH, timeout=timeout)

    answer = run(settings, make, serverless=True)
    if output is not None:
        _copy(Path(answer["path"]), output)
        answer["path"] = str(output.absolute())
    if settings.json:
        print_json(answer)
        return
    click.echo(answer["path"])
    note(f"{answer['size_bytes'] / 1e6:.1f} MB; only the backup key opens it")


@backup.command("list")
@click.pass_obj
def listing(settings: Settings) -> None:
    """List the backups in the data directory. Works without a server."""
    answer = call(settings, "GET", _PATH, serverless=True)
    columns: Columns = {
        "NAME": "name",
        "CREATED": time_of("created_at"),
        "SIZE": lambda item: f"{item['size_bytes'] / 1e6:.1f} MB",
        "NIGHTLY": "nightly",
    }
    print_list(answer, columns, as_json=settings.json, empty="no backups yet")


@backup.command()
@SOURCE
@KEY
@click.pass_obj
def verify(settings: Settings, source: Path, key: Path) -> None:
    """Prove that a backup is whole and can be restored. Needs no server."""
    from appliance.services.restoring import verify as prove

    with tidy_end():
        facts = asdict(prove(source, key, ask))
    facts["created_at"] = facts["created_at"].isoformat().replace("+00:00", "Z")
    if settings.json:
        print_json(facts)
    else:
        print_facts({**facts, "created_at": moment(facts["created_at"])})
        note("whole")


@backup.command("key")
@click.option("--replace", is_flag=True, help="Although there is one; older backups keep theirs.")
@click.pass_obj
def new_key(settings: Settings, replace: bool) -> None:
    """Make the key for all backups to come, and print it, this once. Needs no server."""
    from appliance.services.backup_key import new_backup_key
    from appliance.services.data_directory import DataDirectory

    directory = DataDirectory(settings.directory)
    directory.check()
    if directory.recipient.exists() and not replace:
        raise Conflict(
            f"{directory.path} has a key for backups",
            code="backup.key_exists",
            why="only its owner can show it; it is not stored here",
            fix="if it is lost, make another with --replace",
        )
    secret = new_backup_key(directory)
    if settings.json:
        print_json({"backup_key": secret})
        return
    click.echo(secret)
    note("keep it somewhere else: without it no backup opens, and it is not shown again")


def _copy(source: Path, target: Path) -> None:
    """Copy onto the disk, then give it its name."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with source.open("rb") as file, os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
