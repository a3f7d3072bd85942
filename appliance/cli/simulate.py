"""`appliance simulate`: simulated devices against any MDM server."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import output
from appliance.cli.exits import FAILED, PARTLY_FAILED
from appliance.cli.settings import Command, Settings
from appliance.errors import InvalidRequest

if TYPE_CHECKING:  # pages of imports that no other command needs
    from appliance.simulator.fleet import ProfileSource
    from appliance.simulator.simulation import Options

_POLL_SECONDS = 30.0
_FAULTS = (
    "silent",
    "slow",
    "duplicate",
    "lost-network",
    "wrong-clock",
    "old-os",
    "low-battery",
    "not-now",
)


def _faults(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, int]:
    wanted = {}
    for value in values:
        kind, _, count = value.partition("=")
        if kind not in _FAULTS or not (count or "1").isdecimal():
            raise click.BadParameter(f"{value!r} is not KIND=N with one of {', '.join(_FAULTS)}")
        wanted[kind] = int(count or 1)
    return wanted


@click.command(cls=Command)
@click.option("--profile", metavar="FILE|URL", help="Enrollment profile; each device asks a URL.")
@click.option("--devices", type=click.IntRange(1, 100_000), default=1, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same devices.")
@click.option("--cast", default="demo", show_default=True, help="Who they are: demo, office.")
@click.option("--ca-file", type=click.Path(path_type=Path), metavar="PEM", help="Trusted, too.")
@click.option(
    "--push-server",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run a loopback APNs; its certificates are, or go, in DIR.",
)
@click.option("--push-port", type=click.IntRange(0, 65535), default=0, help="0: a free one.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=N",
    callback=_faults,
    help=f"N devices with a fault: {', '.join(_FAULTS)}.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Devices connect so often by themselves; 30 without a push server.",
)
@click.option("--duration", type=click.FloatRange(0.1), metavar="SECONDS", help="Then end.")
@click.option("--until-idle", is_flag=True, help="End when all queued work is done.")
@click.option("--control", is_flag=True, help="Orders on stdin, events on stdout: JSON lines.")
@click.pass_obj
def simulate(settings: Settings, /, control: bool, **options: Any) -> int:
    """Simulated Apple devices that enroll at any MDM server and answer its commands."""
    run = _control if control else _simulate
    return run(settings, **options)


def _options(
    push_server: Path | None, poll: float | None, faults: dict[str, int], **options: Any
) -> Options:
    from appliance.simulator.casting import make_state
    from appliance.simulator.faults import Fault
    from appliance.simulator.simulation import Options

    try:
        make_state(options["seed"], 0, options["cast"])
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    return Options(
        push_directory=push_server,
        poll=poll or (0 if push_server else _POLL_SECONDS),
        faults={Fault(kind): count for kind, count in faults.items()},
        **options,
    )


def _simulate(settings: Settings, profile: str | None, ca_file: Path | None, **options: Any) -> int:
    from appliance.simulator.simulation import simulate

    source = _source(profile, ca_file)

    async def run() -> dict[str, Any]:
        stop = asyncio.Event()
        _on_signals(stop.set)
        return await simulate(_options(**options), source, _tell, stop)

    summary = _run(run())
    if settings.json:
        output.print_json(summary)
    else:
        _print_summary(summary)
    # Devices that nobody answers try on until the end, and have failed then, too.
    return _status(summary) if summary["enrolled"] else FAILED


def _control(settings: Settings, profile: str | None, ca_file: Path | None, **options: Any) -> int:
    from appliance.simulator.simulation import simulate_for_parent

    if profile or ca_file:
        raise InvalidRequest("--control takes the profile from its parent, not from an option")

    async def run() -> dict[str, Any]:
        working = asyncio.ensure_future(
            simulate_for_parent(_options(**options), _print_line, sys.stdin.fileno())
        )
        _on_signals(working.cancel)
        return await working

    with tempfile.TemporaryDirectory(prefix="appliance-apns-") as folder:
        options["push_server"] = options["push_server"] or Path(folder)
        try:
            return _status(_run(run()))
        except asyncio.CancelledError:
            return 0


def _source(profile: str | None, ca_file: Path | None) -> ProfileSource:
    from appliance.simulator.failures import ProfileRefused
    from appliance.simulator.fleet import ProfileSource
    from appliance.simulator.profile import read_enrollment
    from appliance.simulator.simulation import read_anchors

    if not profile:
        raise InvalidRequest("--profile is missing", fix="name a .mobileconfig file or its URL")
    try:
        anchors = read_anchors(ca_file.read_bytes() if ca_file else b"")
    except ValueError as error:
        raise InvalidRequest(f"{ca_file} holds no certificate in PEM", why=str(error)) from error
    if "://" in profile:
        return ProfileSource(url=profile, anchors=anchors)
    data = Path(profile).read_bytes()
    try:
        read_enrollment(data)
    except ProfileRefused as error:
        raise InvalidRequest("no device installs this profile", why=str(error)) from error
    return ProfileSource(data=data, anchors=anchors)


def _on_signals(act: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)


def _run(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Prefer uvloop: an idle TLS connection costs it a tenth of the memory."""
    try:
        import uvloop
    except ImportError:  # it has no build for every platform
        return asyncio.run(work)
    return uvloop.run(work)


def _print_line(event: dict[str, Any]) -> None:
    click.echo(json.dumps(event, ensure_ascii=False))  # echo flushes


def _tell(event: dict[str, Any]) -> None:
    """Say on stderr what the owner of the devices must know while they run."""
    match event["event"]:
        case "push-server":
            output.note(f"push server: {event['host']}:{event['port']}, topic {event['topic']}")
            output.note(f"its trust anchor: {event['ca_file']}")
            output.note(f"push certificate: {event['certificate']}, key {event['key']}")
        case "enrolled":
            name, profile = output.printable(event["name"]), event["profile"]
            doubt = "" if profile == "verified" else f", by a profile that is {profile}"
            output.note(f"enrolled {name} {event['udid']}{doubt}")
        case "failed":
            output.note(f"not enrolled: {event['udid']}: {output.printable(event['reason'])}")
        case _:
            pass


def _print_summary(summary: dict[str, Any]) -> None:
    output.print_facts({name: summary[name] for name in ("enrolled", "failed", "seconds")})
    rows = [
        (request_type, status, count)
        for request_type, statuses in summary["commands"].items()
        for status, count in statuses.items()
    ]
    output.print_table(("command", "status", "count"), rows, empty="no command was answered")
    for title in ("failures", "unenrolled", "troubles"):
        for reason, count in summary[title].items():
            output.note(f"{title}: {count}x {output.printable(reason)}")


def _status(summary: dict[str, Any]) -> int:
    if not summary["failed"]:
        return 0
    return PARTLY_FAILED if summary["enrolled"] else FAILED
