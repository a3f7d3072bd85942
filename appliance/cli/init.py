"""`appliance init`: a new data directory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from appliance.cli.output import note, print_json
from appliance.cli.settings import Command, Settings
from appliance.config import Config, ServerConfig
from appliance.config.checks import everywhere

_NEXT = """\
{data} is ready. Next:
  1. start the server        appliance serve --data {data}{listen}
  2. create your account     {setup_url}
     with the setup code     {setup_code}
  3. get a push certificate from identity.apple.com and import it
                             appliance push-cert import push.pem push.key --data {data}
  4. let a device enroll     appliance enroll link --data {data}
Backups are encrypted. This key alone opens them, and it is shown this once: keep it somewhere else.
  {backup_key}
The URL {url} is part of every enrollment: devices never accept another one."""

_CONFIGURATION = """\
# What is not here has its default; every key is described in config/appliance.toml.
[server]
url = {url}
organization = {organization}
listen = {listen}
"""


@click.command(cls=Command)
@click.option("--url", required=True, metavar="https://HOST[:PORT]", help="How devices reach it.")
@click.option("--organization", metavar="NAME", help="Shown to people who enroll.")
@click.option(
    "--listen", multiple=True, metavar="ADDR:PORT",
    help="Default: where the URL says, or at 8443 if that port needs more rights.",
)  # fmt: skip
@click.pass_obj
def init(settings: Settings, url: str, organization: str | None, listen: tuple[str, ...]) -> None:
    """Create keys, certificate authority and database in a new data directory."""
    from appliance.app import initialise

    config = _configured(settings.directory, url, organization, listen)
    made = asyncio.run(initialise(config, settings=_settings(config)))
    facts = {
        "data": str(config.data),
        "url": config.server.url,
        "setup_code": made.setup.code,
        "setup_url": made.setup.url,
        "backup_key": made.backup_key,
    }
    if settings.json:
        print_json(facts)
    else:
        elsewhere = not listen and _needs_rights(config.server.url)
        told = f" --listen {everywhere(config.server.url)}" if elsewhere else ""
        note(_NEXT.format(**facts, listen=told))


def _configured(data: Path, url: str, organization: str | None, listen: tuple[str, ...]) -> Config:
    server = ServerConfig(url=url.rstrip("/"))
    if listen or not _needs_rights(server.url):
        server = replace(server, listen=listen or (everywhere(server.url),))
    if organization is not None:
        if not organization.isprintable() or not organization.strip():
            raise click.BadParameter("must be one line of text", param_hint="--organization")
        server = replace(server, organization=organization.strip())
    return Config(data=data, server=server)


def _settings(config: Config) -> str:
    # A JSON text without control characters is a TOML text, too.
    return _CONFIGURATION.format(
        url=json.dumps(config.server.url, ensure_ascii=False),
        organization=json.dumps(config.server.organization, ensure_ascii=False),
        listen=json.dumps(config.server.listen),
    )


def _needs_rights(url: str) -> bool:
    return (urlsplit(url).port or 443) < 1024
