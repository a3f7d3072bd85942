"""A load generator: raw keep-alive HTTP clients that send requests built beforehand."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

CONNECTIONS = 64
_STALLED_SECONDS = 30
_CONNECTING = 8


class BenchError(Exception):
    """A server did not start or gave a wrong answer: its speed would mean nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """Head and body as they go on the wire, and what a right answer contains."""

    message: bytes
    expect: bytes = b""


Session = Sequence[Request]  # what one device sends on one connection, in this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens; `context` is None for plain HTTP."""

    port: int
    context: ssl.SSLContext | None = None


@dataclass(slots=True)
class Outcome:
    """What one run did. Only answers inside the window count, from the first request on."""

    answers: int = 0
    total: int = 0  # with those after the window
    seconds: float = 0.0
    wrong: int = 0
    first_wrong: bytes = b""
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[int(len(ordered) * percent / 100)] * 1000 if ordered else 0.0


class _Run:
    """State that all connections of a run share."""

    def __init__(self, sessions: Iterable[Session], *, keep: bool, to_the_end: bool) -> None:
        self.outcome = Outcome()
        self.keep = keep
        self._to_the_end = to_the_end
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sessions: Iterator[Session] = iter(sessions)
        self._open = 0
        self.started_at = 0.0

    def next_session(self) -> Session | None:
        """The window closes when work runs out, so stragglers do not dilute the rate."""
        if self.stopped:
            return None
        session = next(self._sessions, None)
        if session is None:
            self.close_window()
        return session

    @property
    def stopped(self) -> bool:
        return bool(self.outcome.seconds) and not self._to_the_end

    def close_window(self) -> None:
        if not self.outcome.seconds:
            self.outcome.seconds = time.perf_counter() - self.started_at

    def connection_started(self) -> None:
        self._open += 1

    def connection_finished(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.finished.done():
            self.close_window()
            self.finished.set_result(None)

    def fail(self, problem: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(BenchError(problem))


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._steps: Iterator[Request] = iter(())
        self._request = Request(b"")
        self._received = b""
        self._sent_at = 0.0
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def start(self) -> None:
        self._run.connection_started()
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = _complete_at(self._received)
        if end is not None:
            answer, self._received = self._received, b""
            self._judge(answer, end)
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done:
            self._run.fail(f"the server closed a connection: {exc}")

    def _judge(self, answer: bytes, body_at: int) -> None:
        outcome, now = self._run.outcome, time.perf_counter()
        outcome.total += 1
        if not answer.startswith(b"HTTP/1.1 2") or self._request.expect not in answer:
            outcome.wrong += 1
            outcome.first_wrong = outcome.first_wrong or answer[:2000]
        if not outcome.seconds:
            outcome.answers += 1
            outcome.latencies.append(now - self._sent_at)
        if self._run.keep:
            outcome.bodies.append(_body(answer, body_at))

    def _send_next(self) -> None:
        request = next(self._steps, None)
        if request is None or self._run.stopped:
            session = self._run.next_session()
            if session is None:
                self._finish()
                return
            self._steps = iter(session)
            request = next(self._steps)
        self._request = request
        self._sent_at = time.perf_counter()
        self._transport.write(request.message)

    def _finish(self) -> None:
        self._done = True
        self._transport.close()
        self._run.connection_finished()


def _complete_at(received: bytes) -> int | None:
    """Where the body begins, once head and body are complete."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = received[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        chunked = b"transfer-encoding: chunked" in head
        return head_end + 4 if not chunked or received.endswith(b"\r\n0\r\n\r\n") else None
    end_of_line = head.find(b"\r\n", at + 2)
    length = int(head[at + 17 : end_of_line if end_of_line >= 0 else head_end])
    return head_end + 4 if len(received) >= head_end + 4 + length else None


def _body(answer: bytes, body_at: int) -> bytes:
    if b"transfer-encoding: chunked" not in answer[:body_at].lower():
        return answer[body_at:]
    chunks: list[bytes] = []
    while size := int(answer[body_at : answer.index(b"\r\n", body_at)], 16):
        body_at = answer.index(b"\r\n", body_at) + 2
        chunks.append(answer[body_at : body_at + size])
        body_at += size + 2
    return b"".join(chunks)


async def connect(address: Address, count: int) -> float:
    """Open `count` connections, a few at the same time, and close them; the seconds it took."""

    async def some(share: int) -> None:
        for _ in range(share):
            transport, _ = await loop.create_connection(
                asyncio.Protocol,
                "127.0.0.1",
                address.port,
                ssl=address.context,
                server_hostname="localhost" if address.context else None,
            )
            transport.abort()

    loop = asyncio.get_running_loop()
    started_at = time.perf_counter()
    await asyncio.gather(*(some(count // _CONNECTING) for _ in range(_CONNECTING)))
    return time.perf_counter() - started_at


async def drive(
    address: Address,
    sessions: Iterable[Session],
    *,
    seconds: float | None = None,
    connections: int = CONNECTIONS,
    keep: bool = False,
) -> Outcome:
    """Play `sessions` on parallel connections: all of them, or until `seconds` have passed.

    `keep` keeps the bodies, in order of arrival.
    """
    loop = asyncio.get_running_loop()
    run = _Run(sessions, keep=keep, to_the_end=seconds is None)
    clients = [
        (
            await loop.create_connection(
                lambda: _Connection(run),
                "127.0.0.1",
                address.port,
                ssl=address.context,
                server_hostname="localhost" if address.context else None,
            )
        )[1]
        for _ in range(connections)
    ]
    run.started_at = time.perf_counter()
    for client in clients:
        client.start()
    if seconds is not None:
        loop.call_later(seconds, run.close_window)
    async with asyncio.timeout((seconds or 300) + _STALLED_SECONDS):
        await run.finished
    return run.outcome
