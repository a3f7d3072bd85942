"""The options that every command takes, before or after its verb, and the click classes for it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from appliance.config import Config, default_data_directory
from appliance.errors import DirectoryForbidden


@dataclass(slots=True)
class Settings:
    """What the common options said."""

    data: Path | None = None
    config_file: Path | None = None
    json: bool = False

    @property
    def directory(self) -> Path:
        """The data directory.

        Raises:
            DirectoryForbidden: it is another user's.
        """
        path = (self.data or default_data_directory()).absolute()
        if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):  # noqa: PTH112 - no error
            raise DirectoryForbidden(
                f"{path} belongs to another user",
                why="who may read it controls every device",
                fix=f"run this with `sudo -u {_owner(path)}`",
            )
        return path

    def config(self) -> Config:
        """Read the configuration of the data directory."""
        return Config.load(self.directory, file=self.config_file)


def _owner(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        setattr(context.ensure_object(Settings), str(parameter.name), value)


def common_options() -> list[click.Option]:
    """Return fresh copies of the options for one command."""
    path = click.Path(path_type=Path)
    directory = click.Path(path_type=Path, readable=False)  # what `directory` says helps more
    return [
        click.Option(
            ["--data", "data"], type=directory, metavar="DIR", callback=_set, expose_value=False,
            help="Data directory; or APPLIANCE_DATA.",
        ),
        click.Option(
            ["--config", "config_file"], type=path, metavar="FILE", callback=_set,
            expose_value=False, help="Configuration instead of DIR/appliance.toml.",
        ),
        click.Option(
            ["--json", "json"], is_flag=True, callback=_set, expose_value=False,
            help="Print JSON on stdout and nothing else.",
        ),
    ]  # fmt: skip


class Command(click.Command):
    """A verb; takes the common options, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.extend(common_options())


class Group(click.Group):
    """A noun; takes the common options, too."""

    command_class = Command

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.extend(common_options())


class LazyGroup(Group):
    """The root: imports the module of a noun only when it is asked for."""

    def __init__(self, *arguments: Any, nouns: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._nouns = nouns

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns, in the order of the table."""
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the noun's command."""
        place = self._nouns.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        found: click.Command = getattr(import_module(f"appliance.cli.{module}"), attribute)
        return found
