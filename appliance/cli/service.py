"""`appliance service …`: the server as a service of systemd or launchd."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from appliance import daemon, resources
from appliance.cli.output import note, print_facts, print_json
from appliance.cli.settings import Group, Settings
from appliance.config.checks import check_url, everywhere
from appliance.daemon import RunCommand, Step, WriteFile
from appliance.errors import Conflict, NotInitialised, RootRequired

_HOMES = ("/home", "/root", "/Users")

_dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
_root = click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write files below DIR and run no command: for images.",
)  # fmt: skip


@click.group(cls=Group)
def service() -> None:
    """Run the server from the start of the machine on."""


@service.command()
@click.option("--url", metavar="https://HOST[:PORT]", help="Also make a new data directory.")
@click.option("--organization", metavar="NAME", help="For the new data directory.")
@click.option(
    "--listen", multiple=True, metavar="ADDR:PORT",
    help="For the new data directory. Default: where the URL says.",
)  # fmt: skip
@click.option(
    "--executable", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="What to run, instead of this program.",
)  # fmt: skip
@_root
@_dry_run
@click.pass_obj
def install(
    settings: Settings,
    url: str | None,
    organization: str | None,
    listen: tuple[str, ...],
    executable: Path | None,
    root: Path | None,
    dry_run: bool,
) -> None:
    """Install the service and start it; installing again updates it."""
    if settings.config_file is not None:
        raise click.UsageError("the service reads appliance.toml in its data directory")
    data = settings.directory
    program = executable.absolute() if executable else _own_executable()
    _refuse_home(data)
    initialise = _initialise(data, url, organization, listen) if root is None else []
    steps = daemon.install_steps(
        daemon.manager(),
        executable=program,
        data=data,
        initialise=initialise,
    )
    if dry_run:
        _print(settings, steps)
        return
    _require_root(root)
    daemon.perform(steps, root=root)
    if root is None:
        note(f"The service runs. Its data is in {data}; `appliance status` says how it is.")


@service.command()
@_root
@_dry_run
@click.pass_obj
def uninstall(settings: Settings, root: Path | None, dry_run: bool) -> None:
    """Stop the service and remove it; the data directory stays."""
    manager = daemon.manager()
    before = [RunCommand(arguments=command) for command in manager.stop]
    after = [RunCommand(arguments=command) for command in manager.forget]
    file = manager.file if root is None else root / manager.file.relative_to("/")
    if not file.exists():
        note("The service is not installed.")
        if dry_run:
            _print(settings, [])
        return
    if dry_run:
        _print(settings, [*before, file, *after])
        return
    _require_root(root)
    daemon.perform(before, root=root)
    file.unlink()
    daemon.perform(after, root=root)
    note(f"The service is gone. Data ({settings.directory}), user and executable are still there.")


@service.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show whether the service is installed and runs."""
    manager = daemon.manager()
    installed = manager.file.exists()
    running = installed and daemon.run(RunCommand(arguments=manager.show), check=False)
    facts = {
        "manager": manager.name,
        "file": str(manager.file),
        "installed": installed,
        "running": running,
    }
    if settings.json:
        print_json(facts)
    else:
        print_facts(facts)


def _initialise(
    data: Path, url: str | None, organization: str | None, listen: tuple[str, ...]
) -> list[str]:
    if (data / "keys" / "vault.key").exists():
        return []
    if url is None:
        raise NotInitialised(
            f"{data} holds no appliance",
            fix="name the server's permanent URL with --url, or an existing directory with --data",
        )
    check_url(url)
    arguments = ["--url", url, *(["--organization", organization] if organization else [])]
    # Below 1024, too: the service has the right to.
    for address in listen or (everywhere(url),):
        arguments += ["--listen", address]
    return arguments


def _own_executable() -> Path:
    if not resources.frozen():
        raise Conflict(
            "this program is not an executable that a service could run",
            code="service.not_executable",
            why="it runs from source",
            fix="run `scripts/build`, then `dist/appliance service install …`",
        )
    return Path(sys.executable)


def _refuse_home(data: Path) -> None:
    if str(data).startswith(tuple(f"{home}/" for home in _HOMES)):
        raise Conflict(
            f"the service cannot use {data}",
            code="service.home",
            why="it sees nobody's home directory",
            fix="move the data to /var/lib/appliance",
        )


def _require_root(root: Path | None) -> None:
    if root is None and os.geteuid() != 0:
        raise RootRequired(
            "only root can change the services of this machine",
            fix="run the same command with sudo, or see what it would do with --dry-run",
        )


def _print(settings: Settings, steps: Sequence[Step | Path]) -> None:
    """Print what would be done; a path is a file to remove."""
    if settings.json:
        print_json([_as_json(step) for step in steps])
        return
    for step in steps:
        match step:
            case WriteFile():
                click.echo(f"write {step.path}:\n\n{step.content.decode()}")
            case RunCommand():
                click.echo(f"run {step}")
            case Path():
                click.echo(f"remove {step}")


def _as_json(step: Step | Path) -> dict[str, Any]:
    match step:
        case WriteFile():
            return {"write": str(step.path), "content": step.content.decode()}
        case RunCommand():
            return {"run": list(step.arguments)}
        case Path():
            return {"remove": str(step)}
