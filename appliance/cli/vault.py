"""`appliance vault`: the key that seals secrets, and the passphrase that protects all keys."""

from __future__ import annotations

import asyncio

import click

from appliance.cli.output import note, print_facts, print_json
from appliance.cli.passphrase import ask, ask_new
from appliance.cli.settings import Group, Settings

_PROTECTED = """\
The keys are protected. From now on the server starts with the passphrase only: in a terminal it
asks, a service reads it from the file that APPLIANCE_PASSPHRASE_FILE names.
Nobody can help whoever loses it: not this server, and not the backups made from now on."""


@click.group(cls=Group)
def vault() -> None:
    """The keys on the disk. The server has to be stopped meanwhile."""


@vault.command()
@click.pass_obj
def rotate(settings: Settings) -> None:
    """Seal all secrets with a new key, which takes the place of the old one.

    Interrupted, it is finished or forgotten at the next start. Backups made before keep their key.
    """
    from appliance.services.data_directory import DataDirectory
    from appliance.services.rotation import rotate as renew

    counts = asyncio.run(renew(DataDirectory(settings.directory), ask))
    if settings.json:
        print_json(counts)
        return
    print_facts({name.replace("_", " "): count for name, count in counts.items()})
    note("all of them are sealed with a new key; the old one opens nothing any more")


@vault.command()
@click.pass_obj
def protect(settings: Settings) -> None:
    """Seal all keys, so that only a passphrase opens them.

    It is asked for, or read from stdin, APPLIANCE_PASSPHRASE or APPLIANCE_PASSPHRASE_FILE.
    """
    from appliance.services.data_directory import DataDirectory
    from appliance.services.key_files import ask_nobody

    directory = DataDirectory(settings.directory)
    directory.key_files.refuse_protected()
    with directory.held(ask_nobody):
        directory.key_files.protect(ask_new())
    if settings.json:
        print_json({"protected": True})
    else:
        note(_PROTECTED)


@vault.command()
@click.pass_obj
def unprotect(settings: Settings) -> None:
    """Make plain files of the keys again. The passphrase is asked for, a last time."""
    from appliance.services.data_directory import DataDirectory

    directory = DataDirectory(settings.directory)
    with directory.held(ask):
        directory.key_files.unprotect()
    if settings.json:
        print_json({"protected": False})
    else:
        note("The keys are plain files again: whoever copies the data directory has them.")


@vault.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show whether a passphrase protects the keys. Works while the server runs."""
    from appliance.services.data_directory import DataDirectory

    directory = DataDirectory(settings.directory)
    directory.check()
    facts = {"protected": directory.key_files.is_protected}
    if settings.json:
        print_json(facts)
    else:
        print_facts(facts)
