"""Names become addresses, without a thread that anybody else needs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from appliance.outbound.resolver import OwnResolver


async def test_a_name_has_its_addresses_and_an_unknown_one_says_so() -> None:
    found = await OwnResolver().resolve("localhost", 80)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert {one["port"] for one in found} == {80}
    with pytest.raises(OSError, match="the name cannot be found"):
        await OwnResolver().resolve("a" * 70 + ".invalid", 80)


async def test_four_are_looked_up_at_the_same_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    done = threading.Event()

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        done.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = OwnResolver()
    waiting = [asyncio.create_task(resolver.resolve(f"{n}.example")) for n in range(6)]
    deadline = time.monotonic() + 10
    while len(asked) < 4 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    waiting[0].cancel()  # its lookup goes on, and counts
    await asyncio.sleep(0.1)
    assert len(asked) == 4
    done.set()
    await asyncio.wait(waiting)
    assert len(asked) == 6
    assert [task.result()[0]["host"] for task in waiting[1:]] == ["127.0.0.1"] * 5
