"""Fleets: one that comes back at once, one that is woken by a broadcast, one that never rests."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from appliance.simulator.apns import ApnsAnswer, ApnsServer, ReceivedPush
from appliance.simulator.apns_certificates import ApnsAuthority, server_ssl_context
from tests.trust.crowd import Line, Member, Record, visit

from .stage import Stage, Terms, stage
from .watch import Watch

Rows = dict[str, str]

_ORDER = 1000  # targets in one call
_CHURN = 10  # of the steady requests, each tenth comes over a connection of its own
_KEPT_LINES = 64
_WARM_UP = 0.25  # of a steady run: caches fill


async def storm(folder: Path, terms: Terms) -> Rows:
    """All connect at once over new connections, each fifth with a command that waits."""
    async with stage(folder, terms) as on:
        results = await _commands(on, on.members[::5])
        idle = [member.report() for member in on.members]
        record = Record()
        with on.watched() as watch:
            await _visit_all(on, idle, results, record)
        return {**_outcome(record, len(on.members), len(results)), **watch.rows()}


async def broadcast(folder: Path, terms: Terms) -> Rows:
    """A command for all: pushes keep their pace, woken devices come, take it and answer."""
    authority = ApnsAuthority()
    apns = ApnsServer(server_ssl_context(authority, folder), pushes_kept=1)
    await apns.start()
    (folder / "apns.pem").write_bytes(authority.certificate_pem)
    environment = {
        "APPLIANCE_PUSH__HOST": "localhost",
        "APPLIANCE_PUSH__PORT": str(apns.port),
        "APPLIANCE_PUSH__CA_FILE": str(folder / "apns.pem"),
        **terms.environment,
    }
    async with stage(folder, replace(terms, environment=environment)) as on:
        pair = authority.push(on.server.topic)
        body = {
            "certificate": pair.certificate_pem.decode(),
            "private_key": pair.key_pem.decode(),
        }
        if (await on.api.put("/api/v1/push-certificate", body)).status != 200:
            raise RuntimeError("the push certificate was refused")
        rows = await _woken(on, apns)
    await apns.stop()
    return rows


async def _woken(on: Stage, apns: ApnsServer) -> Rows:
    by_token = {member.udid.replace("-", "").encode(): member for member in on.members}
    idle = {member.udid: member.report() for member in on.members}
    given: dict[str, str] = {}
    record = Record()
    coming: set[asyncio.Task[None]] = set()
    all_came = asyncio.Event()

    async def come(member: Member) -> None:
        while member.udid not in given:  # the push was faster than the answer of the API
            await asyncio.sleep(0.01)
        own = _result(member, given[member.udid])
        await visit(on.server.port, tls, idle[member.udid], own, record)

    def deliver(push: ReceivedPush) -> ApnsAnswer | None:
        task = asyncio.create_task(come(by_token[push.token]))
        coming.add(task)
        task.add_done_callback(gone)
        return None

    def gone(task: asyncio.Task[None]) -> None:
        coming.discard(task)
        if len(record.waits) >= len(by_token):
            all_came.set()

    tls = on.tls
    apns.on_push = deliver
    with on.watched() as watch:
        began = time.monotonic()
        for start in range(0, len(on.members), _ORDER):
            udids = [member.udid for member in on.members[start : start + _ORDER]]
            given |= await _order(on, udids, push=True)
        async with asyncio.timeout(600):
            await all_came.wait()
        took = time.monotonic() - began
    return {
        "broadcast until the last device had come": f"{took:.1f} s",
        "pushes": f"{apns.push_count} ({apns.push_count / took:.0f}/s)",
        **_outcome(record, len(by_token), len(by_token)),
        **watch.rows(),
    }


async def steady(folder: Path, terms: Terms, *, seconds: float, rate: float) -> Rows:
    """So many requests a second for a while: nothing may grow."""
    async with stage(folder, terms) as on:
        idle = [member.report() for member in on.members]
        record = Record()
        with on.watched() as watch:
            late = await _keep_asking(on, idle, record, seconds, rate)
        return {
            "requests": f"{sum(record.statuses.values())} in {seconds:.0f} s",
            "answers": _statuses(record),
            "wrong": str(len(record.wrong)),
            "commands delivered": str(record.delivered),
            "longest delay of the load itself": f"{late * 1000:.0f} ms",
            **watch.rows(),
            **_slopes(watch),
        }


async def _keep_asking(
    on: Stage, idle: list[bytes], record: Record, seconds: float, rate: float
) -> float:
    tls, port = on.tls, on.server.port
    began = time.monotonic()
    free: asyncio.Queue[Line] = asyncio.Queue()
    for _ in range(_KEPT_LINES):
        free.put_nowait(await Line.open(port, tls))
    late = 0.0
    commanded = itertools.cycle(range(0, len(on.members), 7))
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            due = began + number / rate
            if due - began >= seconds:
                break
            pause = due - time.monotonic()
            late = max(late, -pause)
            await asyncio.sleep(max(pause, 0.0))
            message = idle[number % len(idle)]
            if number % int(rate) == 0:
                group.create_task(_command(on, on.members[next(commanded)], record))
            elif number % _CHURN == 0:
                group.create_task(visit(port, tls, message, {}, record))
            else:
                group.create_task(_ask_on_kept(free, message, record))
    while not free.empty():
        free.get_nowait().close()
    return late


async def _ask_on_kept(free: asyncio.Queue[Line], message: bytes, record: Record) -> None:
    line = await free.get()
    answer = await line.ask(message)
    record.statuses[answer.status] += 1
    free.put_nowait(line)


async def _command(on: Stage, member: Member, record: Record) -> None:
    results = await _commands(on, [member])
    own = results[member.udid]
    await visit(on.server.port, on.tls, member.report(), own, record)


def _slopes(watch: Watch) -> Rows:
    """Growth in an hour, by least squares after the warm-up."""
    kept = watch.samples[int(len(watch.samples) * _WARM_UP) :]
    hours = [(sample.at - kept[0].at) / 3600 for sample in kept]

    def slope(values: list[float]) -> str:
        return f"{statistics.linear_regression(hours, values).slope:+.1f}"

    return {
        "memory grows, MB an hour": slope([one.resident_mb for one in kept]),
        "memory at a quarter and at the end, MB": (
            f"{kept[0].resident_mb:.1f} / {kept[-1].resident_mb:.1f}"
        ),
        "descriptors grow, an hour": slope([float(one.descriptors) for one in kept]),
        "WAL grows, MB an hour": slope([one.wal_mb for one in kept]),
    }


async def _commands(on: Stage, members: list[Member]) -> dict[str, Mapping[str, bytes]]:
    """Queue one command for each; the only result that each may send, by the device."""
    given: dict[str, str] = {}
    for start in range(0, len(members), _ORDER):
        udids = [member.udid for member in members[start : start + _ORDER]]
        given |= await _order(on, udids, push=False)
    return {member.udid: _result(member, given[member.udid]) for member in members}


def _result(member: Member, command_uuid: str) -> Mapping[str, bytes]:
    return {command_uuid: member.report("Acknowledged", CommandUUID=command_uuid)}


async def _order(on: Stage, udids: list[str], *, push: bool) -> dict[str, str]:
    queued = await on.api.enqueue(udids, "ProfileList", push=push)
    return {entry["target"]: entry["id"] for entry in queued}


async def _visit_all(
    on: Stage, idle: list[bytes], results: dict[str, Mapping[str, bytes]], record: Record
) -> None:
    tls, port = on.tls, on.server.port
    async with asyncio.TaskGroup() as group:
        for member, message in zip(on.members, idle, strict=True):
            own = results.get(member.udid, {})
            group.create_task(visit(port, tls, message, own, record))


def _outcome(record: Record, devices: int, commands: int) -> Rows:
    waits = sorted(record.waits)
    return {
        "devices served": f"{len(waits)} of {devices}",
        "all served after": f"{waits[-1]:.1f} s",
        "a device waited, median / p99 / longest": (
            f"{waits[len(waits) // 2]:.1f} / {waits[int(len(waits) * 0.99)]:.1f}"
            f" / {waits[-1]:.1f} s"
        ),
        "commands delivered": f"{record.delivered} of {commands}",
        "wrong": f"{len(record.wrong)} {record.wrong[:1]}",
        "answers": _statuses(record),
        "connections opened again": str(record.broken),
    }


def _statuses(record: Record) -> str:
    return ", ".join(f"{count} of {status}" for status, count in sorted(record.statuses.items()))
