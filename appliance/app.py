"""The composition root: builds all parts, joins them, and owns the life of the process."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from appliance import logs, systemd
from appliance.building import build_services
from appliance.config import Config
from appliance.config.checks import split_address
from appliance.errors import Busy, ListenFailed, StoreFailed
from appliance.services import Services
from appliance.services.accounts import AccountService, OneTimeCode
from appliance.services.backup_key import new_backup_key
from appliance.services.clock import now_ms, refuse_behind
from appliance.services.data_directory import DataDirectory, Keys
from appliance.services.key_files import Ask, ask_nobody
from appliance.services.rotation import open_store
from appliance.services.tls import Tls, host_names
from appliance.services.vault import Vault
from appliance.services.vault_proof import store_proof
from appliance.store.database import Database
from appliance.tasks.jobs import jobs
from appliance.tasks.receivers import run_receivers
from appliance.tasks.supervisor import run_jobs
from appliance.web import site
from appliance.web.admission import ADMISSION
from appliance.web.connections import OPTIONS, Connections, most_connections
from appliance.web.front import Front
from appliance.web.listener import Listener
from appliance.web.scep import LIMIT

logger = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 1.0  # aiohttp waits it twice
_CLOSE_SECONDS = 1.0  # for the push server and the receivers of webhooks, at the same time
# Each statement gives the interpreter up and asks for it back: by default the store's thread waits
# 5 ms for it, every time, while the event loop is busy with handshakes.
_SWITCH_SECONDS = 0.0005
_ADMIN_SHARE = 8  # the eighth part of the connections, where they have a listener of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What runs between `open_appliance` and its end."""

    config: Config
    directory: DataDirectory
    services: Services
    tls: Tls
    keys: Keys
    store_failure: asyncio.Event


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Initialised:
    """Two secrets that are shown once: what makes the first user, and what opens the backups."""

    setup: OneTimeCode
    backup_key: str


async def initialise(config: Config, *, settings: str = "") -> Initialised:
    """Make keys, database and, of `settings`, `appliance.toml` in a new data directory.

    Raises:
        Conflict: the directory is in use already.
        ClockWrong: every certificate would be of a wrong time.
    """
    os.umask(0o077)
    refuse_behind(now_ms())
    directory = DataDirectory(config.data)
    lock = directory.begin(
        host_names=host_names(config.server.host, config.server.admin_host),
        organization=config.server.organization,
        settings=settings,
    )
    try:
        vault_key = os.urandom(32)
        database = await Database.open(directory.database)
        try:
            await store_proof(database, Vault(vault_key))
            setup = await AccountService(
                database, config.auth, config.server.admin_url
            ).new_setup_code()
        finally:
            await database.close()
        backup_key = new_backup_key(directory)
        directory.finish(vault_key)
        return Initialised(setup=setup, backup_key=backup_key)
    finally:
        os.close(lock)


@asynccontextmanager
async def open_appliance(config: Config, passphrase: Ask = ask_nobody) -> AsyncIterator[Parts]:
    """Open the data directory for this process alone, and build all services on it.

    Args:
        passphrase: called once if one protects the keys.

    Raises:
        NotInitialised, DataDirectoryUnusable, ConfigError: with the fix.
    """
    directory = DataDirectory(config.data)
    with directory.held(passphrase):
        keys = directory.read_keys()
        tls = Tls(directory, config.server)
        async with open_store(directory, keys) as (database, keys):
            services = build_services(config, directory, keys, tls, database)
            try:
                yield Parts(
                    config=config,
                    directory=directory,
                    services=services,
                    tls=tls,
                    keys=keys,
                    store_failure=database.failure,
                )
            finally:
                await _close(services)


async def _close(services: Services) -> None:
    try:
        await asyncio.gather(
            _within(services.push.close()), _within(services.webhooks.senders.close())
        )
    finally:
        services.accounts.close()


async def _within(closing: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await closing
    except TimeoutError:
        logger.warning("connections did not close in time")


@asynccontextmanager
async def local_api(config: Config, passphrase: Ask = ask_nobody) -> AsyncIterator[Parts]:
    """Serve the API on `run/api.sock` alone, for a command that finds no running server."""
    async with open_appliance(config, passphrase) as parts:
        runner = await _start(parts, admin=True)
        try:
            await _listen_locally(runner, parts.directory)
            yield parts
        finally:
            await runner.cleanup()
            parts.directory.socket.unlink(missing_ok=True)


async def serve(
    config: Config, show_setup: Callable[[OneTimeCode], None], passphrase: Ask = ask_nobody
) -> None:
    """Run the server until SIGTERM or SIGINT, then finish within 5 seconds.

    SIGHUP reads the server certificate again; from a terminal that is closed, it ends the server.

    While there is no user, `show_setup` gets a code that makes the first one: for a person, not
    for the log.
    """
    ends = {signal.SIGTERM, signal.SIGINT}
    if sys.stdin.isatty():
        ends.add(signal.SIGHUP)
    else:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a certificate to read again
    stop = stop_signal(*ends)
    async with running(config, passphrase) as parts:
        if signal.SIGHUP not in ends:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, parts.tls.wanted.set)
        logger.info("ready", extra={logs.URL: config.server.base_url})
        await _offer_setup(parts, show_setup)
        await run_until(stop, parts)
        systemd.notify("STOPPING=1")
        logger.info("stopping")
    logger.info("stopped")


async def _offer_setup(parts: Parts, show_setup: Callable[[OneTimeCode], None]) -> None:
    try:
        if not await parts.services.accounts.any_exists():
            show_setup(await parts.services.accounts.new_setup_code())
    except Busy as error:  # the disk is full, or has failed, which ends the server in its own words
        logger.warning("no setup code could be made", extra={logs.REASON: str(error)})


@asynccontextmanager
async def running(
    config: Config, passphrase: Ask = ask_nobody, *, demo: bool = False
) -> AsyncIterator[Parts]:
    """Listen and do the background jobs for as long as the caller's block takes.

    Args:
        demo: every page says that its devices are simulated.

    Raises:
        NotInitialised, DataDirectoryUnusable, ConfigError, ListenFailed: with the fix.
    """
    async with open_appliance(config, passphrase) as parts:
        sys.setswitchinterval(_SWITCH_SECONDS)
        await parts.services.webhooks.senders.begin()
        runners = await _start_listening(parts, demo=demo)
        # What was imported and built lives as long as the process: the collector may skip it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        work = jobs(parts.services, parts.tls)
        try:
            async with asyncio.TaskGroup() as group:
                errors = parts.services.status.job_errors
                background = [
                    group.create_task(run_jobs(work, errors)),
                    group.create_task(run_receivers(parts.services.webhooks.senders, errors)),
                ]
                yield parts
                for task in background:
                    task.cancel()
        finally:
            parts.directory.socket.unlink(missing_ok=True)
            async with asyncio.TaskGroup() as group:
                for runner in runners:
                    group.create_task(runner.cleanup())


def stop_signal(*numbers: signal.Signals) -> asyncio.Event:
    """Return an event that is set when the process gets one of these signals."""
    stop = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def run_until(stop: asyncio.Event, parts: Parts) -> None:
    """Wait for `stop`.

    Raises:
        StoreFailed: the store failed before; nothing that was answered is lost.
    """
    ends = [asyncio.create_task(end.wait()) for end in (stop, parts.store_failure)]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    if parts.store_failure.is_set():
        raise StoreFailed(
            f"{parts.directory.database} cannot be written",
            why="the disk or the file failed; the log says how",
            fix="check the disk, then start again",
        )


async def _start_listening(parts: Parts, *, demo: bool) -> list[web.AppRunner]:
    server = parts.config.server
    separate = bool(server.admin_listen)
    most = most_connections(parts.config.limits.connections)
    share = most // _ADMIN_SHARE if separate else 0
    runners = [await _start(parts, admin=not separate, demo=demo)]
    app = runners[0].app
    front = Front(parts.config, parts.services, app[ADMISSION], app[LIMIT])
    connections = Connections(parts.config, most - share, make=front.connection)
    await _listen(runners[0], server.listen, parts.tls, connections)
    local = runners[0]
    if separate:
        local = await _start(parts, admin=True, devices=False)
        runners.append(local)
        connections = Connections(parts.config, share)
        await _listen(local, server.admin_listen, parts.tls, connections)
    await _listen_locally(local, parts.directory)
    return runners


async def _start(
    parts: Parts, *, admin: bool, devices: bool = True, demo: bool = False
) -> web.AppRunner:
    application = site.application(
        parts.config,
        parts.services,
        root=parts.keys.root_certificate,
        admin=admin,
        devices=devices,
        demo=demo,
    )
    runner = web.AppRunner(
        application,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        **OPTIONS,
    )
    await runner.setup()
    return runner


async def _listen(
    runner: web.AppRunner, addresses: tuple[str, ...], tls: Tls, connections: Connections
) -> None:
    """Listen at these addresses, which share the number of `connections`."""
    for address in addresses:
        host, port = split_address(address)
        listener = Listener(runner, host, port, tls=lambda: tls.context, connections=connections)
        try:
            await listener.start()
        except OSError as error:
            raise _listen_failed(address, error) from error


def _listen_failed(address: str, error: OSError) -> ListenFailed:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return ListenFailed(
            f"cannot listen on {address}: {error.strerror}",
            why="this machine has no such address",
            fix="name one of its addresses with --listen, or 0.0.0.0 for all",
        )
    return ListenFailed(
        f"cannot listen on {address}: {os.strerror(error.errno or 0)}",
        why="another program uses the port, or it needs more rights",
        fix="stop that program, or choose another port with --listen",
    )


async def _listen_locally(runner: web.AppRunner, directory: DataDirectory) -> None:
    """Listen on the socket that only the owner of the data directory can open."""
    directory.socket.unlink(missing_ok=True)  # the lock is ours, so it is a dead server's
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A Unix address holds about 100 bytes, a path may be longer: bind it from its folder.
    folder = os.open(directory.run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/api.sock" if _has_proc() else str(directory.socket))
    finally:
        os.close(folder)
    directory.socket.chmod(0o600)
    await web.SockSite(runner, listener).start()


def _has_proc() -> bool:
    return os.path.isdir("/proc/self/fd")  # noqa: PTH112 - one stat at the start
