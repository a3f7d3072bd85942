"""Logging: one line an event, constant messages, data under the field names listed here.

Only these fields are ever written: a secret passed by mistake is dropped, not printed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import select
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

ENROLLMENT_ID = "enrollment_id"
MESSAGE_TYPE = "message_type"
COMMAND_UUID = "command_uuid"
REQUEST_TYPE = "request_type"
STATUS = "status"
REASON = "reason"
SERIAL = "certificate_serial"
ADDRESS = "address"
METHOD = "method"
PATH = "path"
JOB = "job"
COUNT = "count"
URL = "url"
SECONDS = "seconds"
REQUEST_ID = "request_id"
WEBHOOK = "webhook"

_FIELDS = (
    ENROLLMENT_ID, MESSAGE_TYPE, COMMAND_UUID, REQUEST_TYPE, STATUS, REASON, SERIAL,
    ADDRESS, METHOD, PATH, JOB, COUNT, URL, SECONDS, REQUEST_ID, WEBHOOK,
)  # fmt: skip
_LONGEST_VALUE = 300
_MOST_LINES = 50
_WINDOW_SECONDS = 10.0
_AT_ONCE = 1024  # characters: 4 KB at most, which a pipe that has room takes without waiting
_MOST_KEPT = 1 << 18  # characters, for a reader that pauses; what is said beyond is lost


def configure(format_name: str, level: str) -> None:
    """Send the records of all our loggers to stderr as `text` or `json` lines."""
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format_name == "json" else _TextFormatter())
    # What no line shows need not be found out for each; these are Python's documented switches.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aioapns and asyncio describe every lost connection at length; ours say it in one line.
    for name in ("aioapns", "asyncio", "aiohttp", "hpack", "h2", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name != "asyncio" else logging.ERROR)


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes at most 50 warnings of one message in 10 seconds, then one line with the rest's count.

    A stranger can cause a line with each request; that must not fill the disk. What is said in one
    turn of the event loop is written at its end, at once: to write costs more than to say.
    A pipe that nobody reads is not waited for, or the whole server would stop: what is said
    meanwhile is kept, as much as there is room for, and the rest counted.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # that is going to write them
        self._began = 0.0
        self._seen: Counter[tuple[str, int, str]] = Counter()
        self._kept = 0  # characters that had no room
        self._lost = 0  # lines
        self._room: select.poll | None = None
        with suppress(OSError, ValueError):  # in memory: has no descriptor, and always room
            descriptor = stream.fileno()
            self._room = select.poll()
            self._room.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless too many of its kind were written."""
        if not 0 <= record.created - self._began < _WINDOW_SECONDS:
            self._write_counts()
            self._began = record.created
        if record.levelno >= logging.WARNING:
            # A library's message may go on with the object's address in the next lines.
            kind = (record.name, record.levelno, str(record.msg).partition("\n")[0])
            self._seen[kind] += 1
            if self._seen[kind] > _MOST_LINES:
                return
        self._say(record)

    def _say(self, record: logging.LogRecord) -> None:
        if self._kept > _MOST_KEPT:
            self._lost += 1
        else:
            try:
                self._lines.append(self.format(record) + self.terminator)
            except Exception:
                self.handleError(record)
                return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # none in this thread
            self.flush()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what has been said; a log that cannot be written keeps nobody from work."""
        self.acquire()
        try:
            self._loop = None
            text, self._lines = "".join(self._lines), []
            try:
                text = self._write(text)
                if self._lost and not text:
                    text = self._write(self._lost_line())
            except (OSError, ValueError):
                text = ""
            self._kept = len(text)
            self._lines.append(text)
        finally:
            self.release()

    def _write(self, text: str) -> str:
        """Write as much as there is room for; return the rest."""
        for start in range(0, len(text), _AT_ONCE):
            if self._room is not None and not self._room.poll(0):
                return text[start:]
            self.stream.write(text[start : start + _AT_ONCE])
            self.stream.flush()
        return ""

    def _lost_line(self) -> str:
        lost, self._lost = self._lost, 0
        record = _counted(__name__, logging.WARNING, "nobody read the log: lines were lost", lost)
        return self.format(record) + self.terminator

    def close(self) -> None:
        """Write what is still to be said."""
        self._write_counts()
        self.flush()
        super().close()

    def _write_counts(self) -> None:
        for (name, level, message), count in self._seen.items():
            if count > _MOST_LINES:
                self._say(_counted(name, level, f"{message} (repeated)", count - _MOST_LINES))
        self._seen.clear()


def _counted(name: str, level: int, message: str, count: int) -> logging.LogRecord:
    record = logging.LogRecord(name, level, "", 0, message, (), None)
    record.__dict__[COUNT] = count
    return record


def _record_fields(record: logging.LogRecord) -> dict[str, str | int | float]:
    values: dict[str, str | int | float] = {}
    for name in _FIELDS:
        value = record.__dict__.get(name)
        if value is not None:
            values[name] = value if isinstance(value, int | float) else str(value)[:_LONGEST_VALUE]
    return values


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.created * 1000) % 1000:03}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_record_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # JSON's escapes keep a hostile name (line breaks, terminal codes) on one plain line.
        parts = [f"{name}={json.dumps(value)}" for name, value in _record_fields(record).items()]
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}"
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info))}")
        return " ".join([line, *parts])
