"""`scripts/bench`: our server beside its peers, in one run, each pinned to one core."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from . import history, peers, postgresql, push, report, stage, workloads
from .load import BenchError
from .postgresql import PostgreSQL
from .stage import BEHIND_NGINX, FILE_STORE, IN_MEMORY, MICROMDM_SCEP, Samples, Stage
from .table import Figure, Sample, Target, markdown

_FIGURES = ("connects", "cycles", "enroll", "scep", "push", "memory", "query", "generator")
_ON_STAGE = {"connects", "cycles", "enroll", "scep", "memory"}
_SETTLING_SECONDS = 2
_HANDSHAKES = 1000


async def _measure(options: argparse.Namespace, folder: Path, figures: list[Figure]) -> None:
    task = asyncio.current_task()
    if task is not None:  # cancelled rather than killed, so that the servers are stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    wanted = set(options.only or _FIGURES)
    if "generator" in wanted:
        sample = await stage.generator_ceiling(folder / "trivial", options.seconds)
        figures.append(Figure(name="load generator's ceiling /s", ours=[sample]))
    if wanted & _ON_STAGE:
        await _on_stage(options, folder, wanted, figures)
    if "push" in wanted:
        samples = await push.measure(folder / "push", rounds=options.rounds)
        figures.append(_figure("pushes /s", samples, Target(limit=2500)))
    if "query" in wanted:
        figures += _query(folder)


async def _on_stage(
    options: argparse.Namespace, folder: Path, wanted: set[str], figures: list[Figure]
) -> None:
    with contextlib.ExitStack() as stack:
        database = _database() if options.postgresql else None
        if options.postgresql and peers.find_program("nginx") is None:
            peers.install("nginx-light")
        on = Stage(folder, stack, rounds=options.rounds, count=options.devices, database=database)
        if "memory" in wanted:
            await asyncio.sleep(_SETTLING_SECONDS)
            idle = [Sample(rate=on.ours.resident_mb())]
            limit = Target(limit=70, at_most=True)
            figures.append(Figure(name="resident memory idle, MB", ours=idle, targets=(limit,)))
        if wanted == {"memory"}:
            return
        await on.prepare()
        gc.freeze()  # what was built beforehand stays out of the generator's collections
        if "scep" in wanted:
            figures.append(_scep(on.issued))
        if "enroll" in wanted:
            figures.append(_enroll(on.enrolled))
        if {"enroll", "scep"} <= wanted:
            figures.append(_whole(on.whole_enrollments()))
        if "cycles" in wanted:
            figures.append(_cycles(await on.cycles()))
        if "connects" in wanted:
            figures.append(_connects(await on.connects()))
            repeated = await on.repeated_connects(options.seconds)
            figures.append(_figure("idle connects, message repeated /s", repeated))
            new = [await workloads.handshakes(on.ours, _HANDSHAKES) for _ in range(options.rounds)]
            figures.append(Figure(name="new connections with TLS /s", ours=new))


def _database() -> PostgreSQL | None:
    try:
        return postgresql.find()
    except BenchError as error:
        print(f"not measured with PostgreSQL: {error}", file=sys.stderr)
        return None


def _connects(samples: Samples) -> Figure:
    return _figure(
        "idle connects /s",
        samples,
        Target(limit=6000),
        Target(limit=1.5, peer=IN_MEMORY),
        Target(limit=1.8, peer=BEHIND_NGINX),
        Target(limit=3, peer=FILE_STORE),
    )


def _cycles(samples: Samples) -> Figure:
    targets = (Target(limit=1.2, peer=IN_MEMORY), Target(limit=5, peer=FILE_STORE))
    return _figure("command cycles /s", _per_pair(samples), *targets)


def _enroll(samples: Samples) -> Figure:
    targets = (Target(limit=1200), Target(limit=1.3, peer=FILE_STORE))
    return _figure("Authenticate + TokenUpdate /s", _per_pair(samples), *targets)


def _whole(samples: Samples) -> Figure:
    return _figure("whole enrollments /s", samples, Target(limit=3, peer=FILE_STORE))


def _scep(samples: Samples) -> Figure:
    targets = (Target(limit=450), Target(limit=2.5, peer=MICROMDM_SCEP))
    return _figure("SCEP certificates /s", samples, *targets)


def _query(folder: Path) -> list[Figure]:
    small, large = history.measure(folder)
    ratio, microseconds = Target(limit=2.5, at_most=True), Target(limit=25, at_most=True)
    return [
        Figure(
            name="next command: 1,000,000 rows / 1,000 rows",
            ours=[Sample(rate=large / small)],
            targets=(ratio,),
        ),
        Figure(
            name="next command with 1,000,000 rows, µs",
            ours=[Sample(rate=large)],
            targets=(microseconds,),
        ),
    ]


def _figure(name: str, samples: Samples, *targets: Target) -> Figure:
    theirs = {peer: rounds for peer, rounds in samples.items() if peer != peers.OURS}
    return Figure(name=name, ours=samples[peers.OURS], peers=theirs, targets=targets)


def _per_pair(samples: Samples) -> Samples:
    """Two requests make one operation."""
    return {
        name: [
            dataclasses.replace(one, rate=one.rate / 2, processor_us=one.processor_us * 2)
            for one in rounds
        ]
        for name, rounds in samples.items()
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=_FIGURES, metavar="NAME", help=_only())
    parser.add_argument("--seconds", type=float, default=3, help="length of a repeated round")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; the median counts")
    parser.add_argument("--devices", type=int, default=3000, help="enrolled at every server")
    parser.add_argument(
        "--postgresql",
        action="store_true",
        help="NanoMDM with PostgreSQL and behind nginx as well, installed if need be",
    )
    parser.add_argument(
        "--write", action="store_true", help="into docs/benchmarks.md and its chart as well"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of a table")
    return parser.parse_args()


def _only() -> str:
    return "measure this alone (repeatable): " + ", ".join(_FIGURES)


def main() -> int:
    """Measure and print; what was measured before a failure is printed as well."""
    options = _options()
    figures: list[Figure] = []
    status = 0
    os.sched_setaffinity(0, {peers.LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            uvloop.run(_measure(options, Path(folder), figures))
        except BenchError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
        except asyncio.CancelledError:
            status = 128 + signal.SIGTERM
    _print(figures, options)
    if options.write and status == 0:
        report.write(figures, rounds=options.rounds)
    return status


def _print(figures: list[Figure], options: argparse.Namespace) -> None:
    if options.json:
        rows = [dataclasses.asdict(row) for figure in figures for row in figure.rows()]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print(markdown(figures))
    load = os.getloadavg()[0]
    print(f"\nMedians of {options.rounds} rounds; load average of the machine: {load:.1f}")


if __name__ == "__main__":
    sys.exit(main())
