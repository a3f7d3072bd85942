"""The long runs of the crash and disk faults: the tests of every day with many more rounds."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """A test, and how many rounds of it count as a proof."""

    test: str
    rounds: int


RUNS: Mapping[str, Run] = {
    "kill": Run("test_kill.py::test_e_01_e_03_nothing_that_was_answered_is_lost_to_kill_9", 200),
    "migration": Run("test_kill.py::test_e_01_kill_9_during_a_migration", 50),
    "rotation": Run(
        "test_rotation.py::test_g06_e06_kill_9_in_a_rotation_leaves_every_secret_readable", 200
    ),
    "sync": Run("test_kill.py::test_e_04_the_disk_has_it_before_the_reply_leaves", 1000),
    "disk": Run("test_disk.py::test_e_07_no_answer_promises_what_a_failing_disk_did_not_take", 300),
    "start": Run("test_disk.py::test_e_07_a_start_on_a_failing_disk_says_so_or_succeeds", 160),
}


def main() -> int:
    """Run what was asked for and print what was seen; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="instead of the number that counts as a proof")
    parser.add_argument("--only", choices=RUNS, action="append", help="may be given repeatedly")
    options = parser.parse_args()
    if shutil.which("strace") is None:  # its tests would be skipped, and prove nothing
        print("strace is missing; scripts/external-programs installs it", file=sys.stderr)
        return 2
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "figures")
        for name in options.only or RUNS:
            run = RUNS[name]
            environment = {
                **os.environ,
                "ROUNDS": str(options.rounds or run.rounds),
                "FAULTS_RECORD": str(figures),
            }
            command = [sys.executable, "-m", "pytest", f"tests/trust/{run.test}"]
            failed |= subprocess.run(command, env=environment, check=False).returncode != 0
        if figures.exists():
            print_table([json.loads(line) for line in figures.read_text().splitlines()])
    return int(failed)


def print_table(figures: list[dict[str, object]]) -> None:
    """Print a Markdown table."""
    print("| fault | seen |\n|---|---|")
    for line in figures:
        name = line.pop("name")
        seen = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in line.items())
        print(f"| {name} | {seen} |")


if __name__ == "__main__":
    sys.exit(main())
