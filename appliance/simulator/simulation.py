"""A whole run: a fleet, perhaps its own APNs, and perhaps a parent that gives orders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from appliance.simulator import control
from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import write_certificates
from appliance.simulator.device import Surroundings
from appliance.simulator.faults import Fault
from appliance.simulator.fleet import Composition, Fleet, ProfileSource
from appliance.simulator.journal import Journal
from appliance.simulator.transport import Patience, Transport

_HOST = "127.0.0.1"
_PUSHES_KEPT = 1000
_UNLOCKS_AFTER = 15.0

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to simulate; times in seconds, `poll` 0 for devices that wait for pushes."""

    devices: int = 1
    seed: int = 1
    cast: str = "demo"
    faults: Mapping[Fault, int] = field(default_factory=dict)
    push_directory: Path | None = None
    push_port: int = 0
    poll: float = 0
    duration: float | None = None
    until_idle: bool = False
    patience: Patience = field(default_factory=Patience)


def read_anchors(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file; ValueError when it holds none."""
    return tuple(x509.load_pem_x509_certificates(pem)) if pem else ()


async def simulate(
    options: Options, source: ProfileSource, emit: Emit, stop: asyncio.Event
) -> dict[str, Any]:
    """Enroll and work until `stop`, or as long as the options say; returns the summary.

    `emit` gets each event as it happens.
    """
    journal = Journal(emit)
    async with _running(options, journal, _UNLOCKS_AFTER) as (fleet, apns):
        if apns is not None:
            emit(apns)
        await _first(_live(fleet, options, source), stop)
    return journal.summary()


async def simulate_for_parent(options: Options, emit: Emit, descriptor: int) -> dict[str, Any]:
    """The same by the orders which a parent process writes to `descriptor`, until its end."""
    journal = Journal(emit)
    async with _running(options, journal, None) as (fleet, apns):
        emit(apns or {"event": "ready"})
        async with asyncio.TaskGroup() as group:
            enrolling: set[asyncio.Task[None]] = set()
            async for order in control.orders(descriptor):
                complaint = _obey(fleet, order, group, enrolling)
                if complaint:
                    emit({"event": "misunderstood", "reason": complaint, "order": order})
            for task in enrolling:
                task.cancel()
    return journal.summary()


@contextlib.asynccontextmanager
async def _running(
    options: Options, journal: Journal, unlocks_after: float | None
) -> AsyncIterator[tuple[Fleet, dict[str, Any] | None]]:
    composition = Composition(
        devices=options.devices, seed=options.seed, cast=options.cast, faults=options.faults
    )
    async with contextlib.AsyncExitStack() as stack:
        transport = await stack.enter_async_context(Transport(patience=options.patience))
        surroundings = Surroundings(
            transport=transport, journal=journal, unlocks_after=unlocks_after
        )
        fleet = Fleet(composition, surroundings)
        stack.push_async_callback(fleet.close)
        announcement = None
        if options.push_directory is not None:
            files = await asyncio.to_thread(write_certificates, options.push_directory)
            apns = ApnsServer(files.ssl_context(), pushes_kept=_PUSHES_KEPT)
            apns.on_push = fleet.push
            await apns.start(options.push_port, _HOST)
            stack.push_async_callback(apns.stop)
            announcement = {
                "event": "push-server",
                "host": _HOST,
                "port": apns.port,
                "ca_file": str(files.ca),
                "certificate": str(files.push),
                "key": str(files.push_key),
                "topic": files.topic(),
            }
        yield fleet, announcement


async def _live(fleet: Fleet, options: Options, source: ProfileSource) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(options.duration):
            await fleet.enroll(source)
            if options.until_idle:
                if not options.push_directory:
                    fleet.wake_all()
                await fleet.settled()
            elif options.poll:
                await fleet.poll(options.poll)
            else:
                await asyncio.Event().wait()


async def _first(life: Any, stop: asyncio.Event) -> None:
    """Run `life` until it ends or `stop` is set; whatever it raises is raised."""
    living, stopping = asyncio.ensure_future(life), asyncio.ensure_future(stop.wait())
    done, pending = await asyncio.wait({living, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if living in done:
        living.result()


def _obey(
    fleet: Fleet,
    order: dict[str, Any],
    group: asyncio.TaskGroup,
    enrolling: set[asyncio.Task[None]],
) -> str:
    """Carry out one order; returns what is wrong with it, or nothing."""
    match order:
        case {"do": "enroll", "profile": str(url)}:
            try:
                file = order.get("ca_file")
                anchors = read_anchors(Path(file).read_bytes() if file else b"")
            except (OSError, ValueError) as error:
                return f"ca_file: {error}"
            source = ProfileSource(url=url, anchors=anchors)
            enrolling.add(group.create_task(fleet.enroll(source)))
        case {"do": "unlock", "udid": str(udid)}:
            return "" if fleet.unlock(udid) else "no such device"
        case {"do": "silence", "udid": str(udid)}:
            return "" if fleet.silence(udid) else "no such device"
        case _:
            return "unknown order"
    return ""
