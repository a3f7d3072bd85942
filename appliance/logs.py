"""Logging: one line an event, constant messages, data under the field names listed here.

Only these fields are ever written: a secret passed by mistake is dropped, not printed.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

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

_FIELDS = (
    ENROLLMENT_ID, MESSAGE_TYPE, COMMAND_UUID, REQUEST_TYPE, STATUS, REASON, SERIAL,
    ADDRESS, METHOD, PATH, JOB, COUNT, URL, SECONDS, REQUEST_ID,
)  # fmt: skip
_LONGEST_VALUE = 300


def configure(format_name: str, level: str) -> None:
    """Send the records of all our loggers to stderr as `text` or `json` lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format_name == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aioapns and asyncio describe every lost connection at length; ours say it in one line.
    for name in ("aioapns", "asyncio", "aiohttp", "hpack", "h2", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name != "asyncio" else logging.ERROR)


def _record_fields(record: logging.LogRecord) -> dict[str, str | int | float]:
    values: dict[str, str | int | float] = {}
    for name in _FIELDS:
        value = record.__dict__.get(name)
        if value is not None:
            values[name] = value if isinstance(value, int | float) else str(value)[:_LONGEST_VALUE]
    return values


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
