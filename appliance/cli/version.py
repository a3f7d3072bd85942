"""`appliance version`: this release and the libraries that it runs on."""

from __future__ import annotations

import platform
import sqlite3
import ssl
from xml.parsers import expat

import click

from appliance import __version__
from appliance.cli.output import print_facts, print_json
from appliance.cli.settings import Command, Settings


@click.command(cls=Command)
@click.pass_obj
def version(settings: Settings) -> None:
    """Show the version, and those of the libraries inside."""
    from cryptography.hazmat.backends.openssl import backend

    facts = {
        "version": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "expat": expat.EXPAT_VERSION.removeprefix("expat_"),
        "openssl": ssl.OPENSSL_VERSION,
        "cryptography_openssl": backend.openssl_version_text(),
    }
    if settings.json:
        print_json(facts)
    else:
        print_facts({"appliance" if name == "version" else name: facts[name] for name in facts})
