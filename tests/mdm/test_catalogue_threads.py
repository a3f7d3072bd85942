"""The catalogue is first needed by several orders at once, each in a thread."""

from __future__ import annotations

import subprocess
import sys

_ATTEMPTS = 10
_AT_ONCE = """
import sys, threading
from appliance.mdm.catalogue import catalogue

def read():
    barrier.wait()
    found.append(catalogue()["DeviceInformation"])

sys.setswitchinterval(1e-6)
barrier, found = threading.Barrier(8), []
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(10)
sys.exit(len(found) != 8)
"""


def test_threads_that_read_it_first_and_at_once_do_not_end_the_process() -> None:
    for _ in range(_ATTEMPTS):  # of each the first reading alone counts; one in six crashed
        done = subprocess.run([sys.executable, "-c", _AT_ONCE], timeout=30, check=False)
        assert done.returncode == 0
