"""`appliance status`: the server's health on one screen."""

from __future__ import annotations

import click

from appliance.cli.client import call
from appliance.cli.output import moment, note, print_facts, print_json
from appliance.cli.settings import Command, Settings


@click.command(cls=Command)
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the server's health on one screen."""
    answer = call(settings, "GET", "/api/v1/status")
    if settings.json:
        print_json(answer)
        return
    counts = ", ".join(f"{count} {state}" for state, count in answer["devices"].items())
    push, authority = answer["push"], answer["ca"]
    print_facts(
        {
            "version": answer["version"],
            "url": answer["url"],
            "organization": answer["organization"],
            "ready": answer["ready"],
            "started": moment(answer["started_at"]),
            "devices": counts or "none yet",
            "queued commands": answer["queue_depth"],
            "push topic": push["topic"],
            "push until": moment(push["not_after"]),
            "tls until": moment(answer["tls_not_after"]),
            "identities": f"{authority['valid']} valid, {authority['revoked']} revoked",
            "database": f"{answer['database_bytes'] / 1e6:.1f} MB",
            "last backup": moment(answer["last_backup_at"]) or "never",
        }
    )
    for problem in answer["problems"]:
        note(f"problem: {problem}")
