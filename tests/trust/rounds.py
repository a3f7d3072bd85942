"""How often the crash and disk faults are tried, and what the long runs record of them."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path


def rounds(usual: int) -> int:
    """How many rounds to run: `usual`, or what `scripts/faults --rounds` asks for."""
    return int(os.environ.get("ROUNDS", usual))


def record(name: str, **figures: object) -> None:
    """Add a line to the file that `scripts/faults` makes its table of."""
    path = os.environ.get("FAULTS_RECORD")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps({"name": name, **figures}) + "\n")


def spread(seconds: Sequence[float]) -> str:
    """Median, 95th percentile and maximum, in seconds."""
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"median {statistics.median(ordered):.2f}, p95 {high:.2f}, max {ordered[-1]:.2f} s"
