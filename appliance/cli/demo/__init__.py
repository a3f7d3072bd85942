"""`appliance demo`: the server with simulated devices, on this machine alone."""

from __future__ import annotations

import click

from appliance.cli.serve import run_server
from appliance.cli.settings import Command, Settings


@click.command(cls=Command)
@click.option(
    "--devices", type=click.IntRange(1, 10_000), default=8, show_default=True,
    help="How many to simulate.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65_535), default=8443, show_default=True)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed, the same devices."
)
@click.option(
    "--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True,
    help="How much faster than life the tour is.",
)  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
@click.pass_obj
def demo(
    settings: Settings, devices: int, port: int, seed: int, speed: float, no_browser: bool
) -> None:
    """Watch simulated devices enroll, take commands and answer. Nothing leaves this machine."""
    from appliance import logs
    from appliance.cli.demo.show import Options, show

    if settings.data is not None or settings.config_file is not None:
        raise click.UsageError("the demo has a data directory of its own, which it removes")
    logs.configure("text", "error")
    options = Options(
        devices=devices,
        port=port,
        seed=seed,
        speed=speed,
        open_browser=not no_browser,
        json=settings.json,
    )
    run_server(show(options))
