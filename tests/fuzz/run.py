"""`scripts/fuzz`: breaks good inputs for as long as wanted, and says which one broke us."""

from __future__ import annotations

import argparse
import base64
import random
import resource
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.fuzz.mutate import mutations
from tests.fuzz.seeds import Seeds
from tests.fuzz.targets import Target, targets

LONGEST_SECONDS = 0.1  # of processor time for one input
_GROWTH_MB = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the cases of one target."""

    cases: int
    accepted: int
    slowest_seconds: float
    slowest: bytes
    grown_mb: float  # in the second half


class Finding(Exception):
    """An input that a reader does not survive."""

    def __init__(self, name: str, data: bytes, why: str) -> None:
        super().__init__(f"{name}: {why}\n  {base64.b64encode(data).decode()}")


def fuzz(name: str, target: Target, *, cases: int, seed: int) -> Outcome:
    """Feed broken inputs; Finding for an exception that is not ours."""
    source = mutations(target.seeds, target.kind, random.Random(seed))  # noqa: S311
    accepted, slowest, slowest_input, base = 0, 0.0, b"", 0.0
    for number in range(cases):
        data = source()
        is_accepted, seconds = _timed(name, target, data)
        accepted += is_accepted
        if seconds > slowest:  # by the input's own fault, or the machine's?
            seconds = min(seconds, _timed(name, target, data)[1])
            if seconds > slowest:
                slowest, slowest_input = seconds, data
        if number == cases // 2:  # caches are bounded, and full by now
            base = _resident_mb()
    return Outcome(
        cases=cases, accepted=accepted, slowest_seconds=slowest, slowest=slowest_input,
        grown_mb=_resident_mb() - base,
    )  # fmt: skip


def _timed(name: str, target: Target, data: bytes) -> tuple[bool, float]:
    started = time.thread_time()
    is_accepted = survives(name, target, data)
    return is_accepted, time.thread_time() - started


def survives(name: str, target: Target, data: bytes) -> bool:
    """Whether the input was accepted; Finding when it was refused in no way of ours."""
    try:
        target.read(data)
    except target.refusals:
        return False
    except Exception as error:
        raise Finding(name, data, f"{type(error).__name__}: {error}") from error
    return True


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _instrumented(name: str, target: Target, cases: int, corpus: Path) -> None:
    """Let atheris choose the inputs by the branches they reach; it ends the process."""
    import atheris  # type: ignore[import-untyped]  # not locked: `scripts/fuzz` installs it

    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.instrument_all()
    options = [f"-runs={cases}", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]
    atheris.Setup(
        [sys.argv[0], str(corpus), *options], lambda data: bool(survives(name, target, data)) and 0
    )
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets; 1 when one was broken, too slow, or grew."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="which; all by default")
    parser.add_argument("--cases", type=int, default=20_000, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="another one breaks other bytes")
    parser.add_argument(
        "--atheris", type=Path, metavar="CORPUS",
        help="one target, inputs chosen by coverage and kept in this folder",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of libraries, about what is in the inputs
    every = targets(Seeds())
    if unknown := set(options.targets) - every.keys():
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    chosen = {name: every[name] for name in options.targets or every}
    if options.atheris:
        ((name, target),) = chosen.items()
        _instrumented(name, target, options.cases, options.atheris)
    click.echo(f"{'target':<16}{'cases':>10}{'accepted':>10}{'slowest ms':>12}{'grown MB':>10}")
    faults = 0
    for name, target in chosen.items():
        try:
            outcome = fuzz(name, target, cases=options.cases, seed=options.seed)
        except Finding as finding:
            click.echo(finding)
            faults += 1
            continue
        slow = outcome.slowest_seconds > LONGEST_SECONDS
        faults += slow or outcome.grown_mb > _GROWTH_MB
        click.echo(
            f"{name:<16}{outcome.cases:>10}{outcome.accepted:>10}"
            f"{outcome.slowest_seconds * 1000:>12.1f}{outcome.grown_mb:>10.1f}",
        )
        if slow:
            click.echo(f"  too slow: {base64.b64encode(outcome.slowest).decode()[:4000]}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
