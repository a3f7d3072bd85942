"""`scripts/load`: the server under load, with the figures that it must keep."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from . import fleets, handshakes, inside, slow
from .fleets import Rows
from .stage import Terms


def _runs(options: argparse.Namespace) -> dict[str, Callable[[Path], Awaitable[Rows]]]:
    terms = Terms(
        devices=options.devices, share_cores=options.share_cores, memory_mb=options.memory
    )
    few = Terms(devices=1, share_cores=options.share_cores)
    return {
        "storm": lambda folder: fleets.storm(folder, terms),
        "broadcast": lambda folder: fleets.broadcast(folder, terms),
        "steady": lambda folder: fleets.steady(
            folder, terms, seconds=options.seconds, rate=options.rate
        ),
        "slow": lambda folder: slow.slow(
            folder, few, clients=options.clients, seconds=options.seconds
        ),
        "handshakes": lambda folder: handshakes.handshakes(folder, few),
        "blocks": lambda folder: inside.blocks(folder, devices=options.devices),
        "lists": lambda folder: inside.lists(
            folder, devices=options.devices, commands=options.commands
        ),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "storm: all devices connect at once. broadcast: a command for all, by push.\n"
            "steady: --rate requests a second for --seconds. slow: --clients slow clients\n"
            "and a device. handshakes: what TLS costs. blocks: the longest that one request\n"
            "holds up all others. lists: pages and lists with --commands in the history."
        ),
    )
    known = ("storm", "broadcast", "steady", "slow", "handshakes", "blocks", "lists")
    parser.add_argument("what", choices=known, nargs="+")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--memory", type=int, default=0, metavar="MB", help="of the server")
    parser.add_argument("--share-cores", action="store_true", help="do not pin to a core each")
    return parser.parse_args()


async def _run(options: argparse.Namespace) -> None:
    for what in options.what:
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            rows = await _runs(options)[what](Path(folder))
        print(f"\n{what}\n" + "\n".join(f"  {name}: {value}" for name, value in rows.items()))
        sys.stdout.flush()


def main() -> int:
    """Run what was asked for and print it."""
    options = _options()
    try:
        uvloop.run(_run(options))
    except (TimeoutError, RuntimeError, AssertionError) as error:
        print(f"error: {error!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
