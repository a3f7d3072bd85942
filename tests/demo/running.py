"""A running `appliance demo`, as its user sees it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.device.server import PROGRAM, free_port

START_SECONDS = 90


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Demo:
    """The process, what it printed, and where its page is."""

    def __init__(self, *arguments: str, browser: bool = False) -> None:
        self.port = free_port()
        self.began = time.monotonic()
        command = [*PROGRAM, "demo", "--json", "--port", str(self.port)]
        if not browser:
            command.append("--no-browser")
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._changed = threading.Condition()
        self._readers: list[threading.Thread] = []
        self._outputs = {"out": "", "err": ""}
        for name, stream in (("out", self.process.stdout), ("err", self.process.stderr)):
            assert stream is not None
            reader = threading.Thread(target=self._read, args=(name, stream), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._outputs[name] += line
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: done() or self.process.poll() is not None, START_SECONDS
            ), self._outputs
            assert done(), self._outputs

    def introduced(self) -> dict[str, Any]:
        """What it printed as JSON: url, sign_in_url, user, password, data."""
        self._wait(lambda: self._outputs["out"].rstrip().endswith("}"))
        shown: dict[str, Any] = json.loads(self._outputs["out"])
        return shown

    def all_enrolled(self) -> float:
        """Wait until every device has enrolled; the seconds from the start, as it says."""
        pattern = re.compile(r"devices are enrolled, ([\d.]+) s after the start")
        self._wait(lambda: pattern.search(self._outputs["err"]) is not None)
        match = pattern.search(self._outputs["err"])
        assert match is not None
        return float(match[1])

    def family(self) -> list[int]:
        """The processes that it has started, and theirs."""
        found: list[int] = []
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            waiting += map(int, children)
            found += map(int, children)
        return found

    def errors(self) -> str:
        """What it has printed on stderr so far."""
        return self._outputs["err"]

    def end(self, number: signal.Signals = signal.SIGINT) -> float:
        """Send Ctrl-C; the seconds until it has ended."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)
        seconds = time.monotonic() - began
        for reader in self._readers:
            reader.join(30)
        return seconds
