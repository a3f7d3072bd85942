"""How the next-command query behaves as the history grows."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from appliance.store.commands import NEXT_COMMAND
from appliance.store.migrating import migrate

SMALL, LARGE = 1_000, 1_000_000
_PER_DEVICE = 100
_UNFINISHED = 10  # the youngest of each device
_SAMPLES = 5_000
_PASSES = 6

_ENROLLMENTS = """
WITH RECURSIVE counter (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n + 1 < :devices)
INSERT INTO enrollments (id, type, state, last_seen_at)
SELECT printf('device-%08d', n), 'Device', 'enrolled', 0
  FROM counter
"""

# The queues are interleaved, as they are when a whole fleet gets the same commands.
_COMMANDS = """
WITH RECURSIVE counter (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n + 1 < :rows)
INSERT INTO commands (uuid, enrollment_id, request_type, status, queued_at, finished_at)
SELECT printf('%032x', n), printf('device-%08d', n % :devices), 'DeviceInformation',
       iif(n < :finished, 'acknowledged', 'queued'), 0, iif(n < :finished, 0, NULL)
  FROM counter
"""


def measure(folder: Path) -> tuple[float, float]:
    """Median µs of the query with 1,000 and with 1,000,000 rows, in a transaction as ours.

    The best of several passes in turns: a busy neighbour can only add.
    """
    with _generated(folder / "small.db", SMALL) as small:
        with _generated(folder / "large.db", LARGE) as large:
            passes = [(_median(small, SMALL), _median(large, LARGE)) for _ in range(_PASSES)]
    return min(one for one, _ in passes), min(other for _, other in passes)


@contextmanager
def _generated(path: Path, rows: int) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        _fill(db, rows, rows // _PER_DEVICE)
        db.execute("PRAGMA cache_size = -16384")
        db.execute("BEGIN")
        yield db
        db.execute("ROLLBACK")
    path.unlink()


def _median(db: sqlite3.Connection, rows: int) -> float:
    chosen = random.Random(1)  # noqa: S311
    devices = rows // _PER_DEVICE
    names = [f"device-{chosen.randrange(devices):08}" for _ in range(_SAMPLES)]
    return statistics.median(_times(db, names)) * 1e6


def _fill(db: sqlite3.Connection, rows: int, devices: int) -> None:
    migrate(db)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -262144")
    finished = rows - devices * _UNFINISHED
    db.execute("BEGIN")
    db.execute(_ENROLLMENTS, {"devices": devices})
    db.execute(_COMMANDS, {"rows": rows, "devices": devices, "finished": finished})
    db.execute(
        "INSERT INTO command_payloads (command_id, body) SELECT id, zeroblob(520) FROM commands"
    )
    db.execute("COMMIT")


def _times(db: sqlite3.Connection, names: list[str]) -> list[float]:
    times = []
    for name in names:
        values = {"enrollment_id": name, "idle": True, "now": 1}
        started_at = time.perf_counter()
        row = db.execute(NEXT_COMMAND, values).fetchone()
        times.append(time.perf_counter() - started_at)
        if row is None:
            raise RuntimeError("the generated history has no next command")
    return times
