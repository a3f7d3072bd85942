"""`appliance restore`: a data directory of a backup."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from appliance.cli.backup import KEY, SOURCE
from appliance.cli.command import print_restored
from appliance.cli.ending import tidy_end
from appliance.cli.output import moment, note, print_json
from appliance.cli.passphrase import ask
from appliance.cli.settings import Command, Settings

_DONE = """\
{data} is restored as it was at {at}. What happened later is not in it:
  - revoke, block and forget again what was revoked, blocked and forgotten since; tokens, too
  - devices that enrolled or renewed their identity since have to enroll again
  - people sign in again; enrollment links ({links}) and unused profiles are void: make new ones
The device CA is {ca}. Next: appliance serve --data {data}"""
_HELD = """\
{held} dangerous and {repeated} other commands waited. Devices may have had them since:
what is held is sent after `appliance command release`, or never after `command cancel`."""


@click.command(cls=Command)
@SOURCE
@KEY
@click.pass_obj
def restore(settings: Settings, source: Path, key: Path) -> None:
    """Make the data directory anew of a backup. Needs no server, and an empty place."""
    from appliance.services.restoring import restore as make

    with tidy_end():
        done = make(source, key, settings.directory, ask)
    at = done.backup.created_at.isoformat().replace("+00:00", "Z")
    if settings.json:
        facts = asdict(done)
        facts["backup"]["created_at"] = at
        print_json(facts)
        return
    note(
        _DONE.format(
            data=done.data, at=moment(at), links=done.closed.links, ca=done.backup.ca_fingerprint
        )
    )
    if done.commands:
        held, repeated = done.closed.held, done.closed.possibly_repeated
        note(_HELD.format(held=held, repeated=repeated))
        print_restored([asdict(command) for command in done.commands])
