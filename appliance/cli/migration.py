"""`appliance migration`: devices that another server enrolled, and their certificates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from appliance.cli.client import call, run, segment
from appliance.cli.files import read_text
from appliance.cli.output import Columns, note, print_done, print_list, time_of
from appliance.cli.settings import Group, Settings
from appliance.errors import InvalidRequest
from appliance.wire.certificates import as_pem

_DEVICES = "/api/v1/awaited-devices"
_AUTHORITIES = "/api/v1/former-authorities"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PAIR = re.compile(r"\s*\"?([^\s,\"]+)\"?[\s,]+\"?([0-9A-Fa-f]{64})\"?\s*")
_SHOWN = 5


@click.group(cls=Group)
def migration() -> None:
    """Devices that another server enrolled.

    Its check-in messages come to /migration, as nano2nano sends them. Then tell whose certificate
    is whose (`expect`), or else whose certificates count (`trust`).
    """


@migration.command("list")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.pass_obj
def listing(settings: Settings, limit: int | None) -> None:
    """List the devices that have not come yet."""
    answer = run(settings, lambda client: client.pages(_DEVICES, query={}, limit=limit))
    columns: Columns = {
        "ID": "id", "SERIAL": "serial_number", "NAME": "name", "MOVED": time_of("migrated_at"),
        "CERTIFICATE": _certificate,
    }  # fmt: skip
    print_list(answer, columns, as_json=settings.json, empty="no device is awaited")


@migration.command()
@click.argument("file", type=_FILE)
@click.pass_obj
def expect(settings: Settings, file: Path) -> None:
    """Tell which certificate each device has.

    FILE has lines of an enrollment ID and the SHA-256 of its certificate, as CertAuth.txt of
    NanoMDM's file store, or the table cert_auth_associations of its databases as CSV. Of several
    lines for one ID each counts: NanoMDM keeps those of former certificates, too.
    """
    found = (_PAIR.fullmatch(line) for line in read_text(file).splitlines())
    devices = [{"id": one[1], "certificate_sha256": one[2]} for one in found if one is not None]
    if not devices:
        raise InvalidRequest(f"{file} has no line of an ID and 64 hex digits")
    answer = call(settings, "POST", _DEVICES, body={"devices": devices})
    unknown = answer["unknown"]
    done = f"devices whose certificate is expected: {answer['expected']}"
    print_done(answer, done, as_json=settings.json)
    if unknown:
        more = "…" if len(unknown) > _SHOWN else ""
        note(f"{len(unknown)} devices are not awaited: {', '.join(unknown[:_SHOWN])}{more}")


@migration.command()
@click.argument("file", type=_FILE)
@click.pass_obj
def trust(settings: Settings, file: Path) -> None:
    """Let the certificates of another server's authority count.

    FILE is the certificate of its SCEP authority, PEM or DER. The first certificate of it that
    comes for an awaited device becomes that device's, unless `expect` told of its own.
    """
    pem = as_pem(file.read_bytes(), "CERTIFICATE").decode("utf-8", "replace")
    answer = call(settings, "POST", _AUTHORITIES, body={"certificates": pem})
    text = ", ".join(item["fingerprint_sha256"] for item in answer["items"])
    print_done(answer, f"trusted for awaited devices: {text}", as_json=settings.json)


@migration.command()
@click.pass_obj
def authorities(settings: Settings) -> None:
    """List the authorities whose certificates count."""
    columns: Columns = {
        "FINGERPRINT": "fingerprint_sha256", "SUBJECT": "subject", "UNTIL": time_of("not_after"),
    }  # fmt: skip
    answer = call(settings, "GET", _AUTHORITIES)
    print_list(answer, columns, as_json=settings.json, empty="none is trusted")


@migration.command()
@click.argument("fingerprint")
@click.pass_obj
def distrust(settings: Settings, fingerprint: str) -> None:
    """Let the certificates of an authority count no more; devices that have come stay."""
    answer = call(settings, "DELETE", f"{_AUTHORITIES}/{segment(fingerprint)}")
    print_done(answer, f"{fingerprint} is trusted no more", as_json=settings.json)


def _certificate(item: Any) -> str:
    match item["certificates_sha256"]:
        case []:
            return "of a trusted authority"
        case [sha256]:
            return f"{sha256[:16]}…"
        case several:
            return f"one of {len(several)}"
