"""The demo from its first line to its last: everything is made, shown, and removed again."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.app import Parts, initialise, running
from appliance.cli.browser import open_browser
from appliance.cli.demo.fleet import Fleet, PushServer
from appliance.cli.demo.place import listen_addresses
from appliance.cli.demo.tour import Tour
from appliance.cli.output import note, print_json
from appliance.config import Config, PushConfig, ServerConfig
from appliance.services.private_folder import private_folder

_USER = "demo"
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BROWSER_SECONDS = 10.0

_BANNER = """\
DEMO: simulated devices. Nothing leaves this machine, and nothing is kept.

  open      {sign_in_url}
  or sign in at {url}/ as {user} with the password {password}
  data      {data} (removed at the end)

The certificate is the demo's own, so the browser warns once. Ctrl-C ends the demo.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said."""

    devices: int
    port: int
    seed: int
    speed: float
    open_browser: bool
    json: bool


async def show(options: Options) -> None:
    """Run the demo until Ctrl-C.

    Raises:
        Conflict: the port is in use.
        FleetFailed: the simulated devices do not start, or end.
    """
    demo = asyncio.create_task(_show(options))

    def end() -> None:
        if not demo.cancelling():  # a second Ctrl-C must not cut the clearing up short
            demo.cancel()

    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await demo
    except asyncio.CancelledError:
        note("\nThe demo has ended; its data is removed.")


async def _show(options: Options) -> None:
    began = time.monotonic()
    addresses = listen_addresses(options.port)
    with private_folder("appliance-demo-") as folder:
        async with Fleet.start(folder, devices=options.devices, seed=options.seed) as fleet:
            config = _config(folder, options.port, addresses)
            await initialise(config)
            push_server = await fleet.push_server()
            config = replace(config, push=_push(push_server))
            async with running(config, demo=True) as parts:
                await _introduce(parts, push_server, options)
                await _play(parts, fleet, options, began)


def _config(folder: Path, port: int, addresses: tuple[str, ...]) -> Config:
    server = ServerConfig(
        url=f"https://localhost:{port}", listen=addresses, organization="Demo Office"
    )
    return Config(data=folder / "data", server=server)


def _push(server: PushServer) -> PushConfig:
    return PushConfig(host=server.host, port=server.port, ca_file=str(server.ca_file))


async def _introduce(parts: Parts, push_server: PushServer, options: Options) -> None:
    """Make a user, import the push certificate, and say where the page is."""
    services = parts.services
    password = secrets.token_urlsafe(12)
    await services.push.import_pem(
        push_server.certificate.read_bytes(), push_server.key.read_bytes()
    )
    await services.accounts.add_user(_USER, password)
    code = (await services.accounts.new_sign_in_code(_USER)).code
    url = parts.config.server.base_url
    shown = {
        "url": url,
        "sign_in_url": f"{url}/login#{code}",
        "user": _USER,
        "password": password,
        "data": str(parts.config.data),
    }
    if options.json:
        print_json(shown)
        sys.stdout.flush()
    else:
        note(_BANNER.format(**shown))
    if options.open_browser:
        await _open_browser(shown["sign_in_url"])


async def _open_browser(url: str) -> None:
    """Open the page; where there is no screen or no browser, say so and go on."""
    opened = False
    try:
        async with asyncio.timeout(_BROWSER_SECONDS):
            opened = await asyncio.to_thread(open_browser, url)
    except TimeoutError:
        pass
    if not opened:
        note("No browser was found here: open the address above in one.")


async def _play(parts: Parts, fleet: Fleet, options: Options, began: float) -> None:
    """Enroll the devices and send them commands, until the caller is cancelled."""
    link = await parts.services.enrolling.create_link(uses=options.devices, label="Demo")
    tour = Tour(parts.services, fleet, seed=options.seed, speed=options.speed)
    await fleet.enroll(
        parts.services.enrolling.profile_url(link.code), parts.directory.keys / "root.pem"
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(tour.greet())
        count = 0
        async for event in fleet.events():
            if event["event"] == "failed":
                note(f"a device could not enroll: {event['reason']}")
            elif event["event"] == "answered" and event["status"] == "NotNow":
                tour.refused(event["udid"])
            elif event["event"] == "enrolled":
                tour.enrolled(event["udid"])
                count += 1
                if count == options.devices:
                    seconds = time.monotonic() - began
                    note(f"{count} devices are enrolled, {seconds:.1f} s after the start.")
                    group.create_task(tour.go())
