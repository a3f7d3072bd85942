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

_NEXT = """\
{data} is ready. Next:
  1. start the server        appliance serve --data {data}
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
{listen}"""


@click.command(cls=Command)
@click.option("--url", required=True, metavar="https://HOST[:PORT]", help="How devices reach it.")
@click.option("--organization", metavar="NAME", help="Shown to people who enroll.")
@click.pass_obj
def init(settings: Settings, url: str, organization: str | None) -> None:
    """Create keys, certificate authority and database in a new data directory."""
    from appliance.app import initialise

    config = _configured(settings.directory, url, organization)
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
        note(_NEXT.format(**facts))


def _configured(data: Path, url: str, organization: str | None) -> Config:
    server = ServerConfig(url=url.rstrip("/"))
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
        listen=_listen(config.server.url),
    )


def _listen(url: str) -> str:
    """Listen where the URL says, if it names a port that needs no further rights."""
    port = urlsplit(url).port
    return f'listen = ["0.0.0.0:{port}"]\n' if port is not None and port >= 1024 else ""
