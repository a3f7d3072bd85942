"""Logging: a stranger's flood is a few lines and a count."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from appliance import logs


def _record(message: str, created: float, level: int = logging.WARNING) -> logging.LogRecord:
    record = logging.LogRecord("appliance.web.devices", level, "", 0, message, (), None)
    record.created = created
    return record


def test_a_repeated_warning_is_written_50_times_and_then_counted() -> None:
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    for number in range(300):
        handler.emit(_record("refused", 1000 + number / 100))
    handler.emit(_record("another", 1005))
    assert stream.getvalue().splitlines() == ["refused"] * 50 + ["another"]
    handler.emit(_record("refused", 1011))
    assert stream.getvalue().splitlines()[51:] == ["refused (repeated)", "refused"]
    handler.close()


def test_the_count_is_written_at_the_end_at_the_latest() -> None:
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    handler.setFormatter(logs._TextFormatter())
    for _ in range(60):
        handler.emit(_record("refused", 1000))
    handler.close()
    assert stream.getvalue().splitlines()[-1].endswith("refused (repeated) count=10")


def test_what_is_no_warning_is_never_left_out() -> None:
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    for _ in range(200):
        handler.emit(_record("enrolled", 1000, logging.INFO))
    assert len(stream.getvalue().splitlines()) == 200


def test_a_message_that_names_an_object_is_one_kind() -> None:
    """As asyncio's: "socket.accept() out of system resource", then lines with the socket."""
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    for number in range(200):
        handler.emit(_record(f"no more sockets\nsocket: {number}", 1000, logging.ERROR))
    assert stream.getvalue().count("no more sockets") == 50


async def test_what_is_said_in_one_turn_of_the_event_loop_is_written_at_once() -> None:
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    handler.emit(_record("first", 1000))
    handler.emit(_record("second", 1000))
    assert stream.getvalue() == "", "not yet"
    await asyncio.sleep(0)
    assert stream.getvalue() == "first\nsecond\n"
    handler.emit(_record("last", 1000))
    handler.close()
    assert stream.getvalue().endswith("last\n"), "nothing is lost at the end"


async def test_what_a_thread_says_is_written_too() -> None:
    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    await asyncio.to_thread(handler.handle, _record("from a thread", 1000))
    assert stream.getvalue() == "from a thread\n"


class _Full(io.StringIO):
    def flush(self) -> None:
        raise OSError("no space left on the device")


async def test_a_log_that_cannot_be_written_keeps_nobody_from_work() -> None:
    handler = logs.LimitedHandler(_Full())
    handler.emit(_record("in the loop", 1000))
    await asyncio.sleep(0)
    await asyncio.to_thread(handler.handle, _record("in a thread", 1000))
    handler.close()


def test_lines_of_a_loop_that_ended_before_it_wrote_them_are_written() -> None:
    async def say(message: str) -> None:
        handler.emit(_record(message, 1000))

    stream = io.StringIO()
    handler = logs.LimitedHandler(stream)
    for message in ("first", "second"):
        loop = asyncio.new_event_loop()
        task = loop.create_task(say(message))
        loop.run_until_complete(task)
        loop.close()
    handler.emit(_record("third", 1000))
    assert stream.getvalue() == "first\nsecond\nthird\n"


@pytest.fixture
def unread() -> Iterator[tuple[int, TextIO]]:
    """The end of a pipe that could be read, and a stream into the other one."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def _read(reading: int) -> str:
    text = b""
    try:
        while piece := os.read(reading, 1 << 16):
            text += piece
    except BlockingIOError:
        return text.decode()
    return text.decode()


def test_a_pipe_that_nobody_reads_keeps_nobody_from_work(unread: tuple[int, TextIO]) -> None:
    reading, stream = unread
    handler = logs.LimitedHandler(stream)
    handler.setFormatter(logs._TextFormatter())
    count = 5_000
    for number in range(count):
        handler.emit(_record(f"{number} {'x' * 100}", 1000, logging.INFO))
    said = ""
    while piece := _read(reading):  # somebody reads again
        said += piece
        handler.flush()
    handler.close()
    *lines, lost = said.splitlines()
    assert [int(line.split()[2]) for line in lines] == list(range(len(lines))), "whole, in order"
    assert 1_000 < len(lines) < count
    assert lost.endswith(f"nobody read the log: lines were lost count={count - len(lines)}")
