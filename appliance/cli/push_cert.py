"""`appliance push-cert`: the certificate that lets the server wake devices."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from appliance.cli.client import call
from appliance.cli.output import moment, print_facts, print_json
from appliance.cli.settings import Group, Settings

_PATH = "/api/v1/push-certificate"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("push-cert", cls=Group)
def push_cert() -> None:
    """The push certificate from Apple."""


@push_cert.command("import")
@click.argument("certificate", type=_FILE)
@click.argument("key", type=_FILE, required=False)
@click.option(
    "--password", envvar="APPLIANCE_PUSH_PASSWORD", metavar="TEXT",
    help="Of the key or the PKCS#12 file; better as APPLIANCE_PUSH_PASSWORD.",
)  # fmt: skip
@click.option("--replace-topic", metavar="TOPIC", help="The new topic, to accept a change of it.")
@click.option("--account", help="The Apple Account that renews it; a reminder. Default: as before.")
@click.pass_obj
def import_(
    settings: Settings,
    certificate: Path,
    key: Path | None,
    password: str | None,
    replace_topic: str | None,
    account: str | None,
) -> None:
    """Import CERTIFICATE and KEY (PEM or DER), or one file with both (PEM or PKCS#12)."""
    body = {
        **_contents(certificate, key),
        "password": password,
        "replace_topic": replace_topic,
        "account": account,
    }
    _print_status(settings, call(settings, "PUT", _PATH, body=body, serverless=True))


@push_cert.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show topic, expiry and account."""
    _print_status(settings, call(settings, "GET", _PATH, serverless=True))


@push_cert.command()
@click.pass_obj
def test(settings: Settings) -> None:
    """Connect to the push service with it."""
    answer = call(settings, "POST", f"{_PATH}/test")
    if settings.json:
        print_json(answer)
    else:
        click.echo(answer["result"])


def _contents(certificate: Path, key: Path | None) -> dict[str, str]:
    """Return the files as the API takes them: PEM as text, DER and PKCS#12 in base64."""
    first = _text(certificate)
    if key is not None:
        return {"certificate": first, "private_key": _text(key)}
    if "-----BEGIN" in first:  # both in one file
        return {"certificate": first, "private_key": first}
    return {"pkcs12": first}


def _text(path: Path) -> str:
    content = path.read_bytes()
    if b"-----BEGIN" in content:
        return content.decode("utf-8", "replace")
    return base64.b64encode(content).decode()


def _print_status(settings: Settings, answer: Any) -> None:
    if settings.json:
        print_json(answer)
        return
    times = {key: moment(answer[key]) for key in ("not_after", "imported_at")}
    print_facts({**answer, **times})
