"""HTTP as Apple's client does it: verified TLS, a timeout on everything, retries with backoff."""

from __future__ import annotations

import asyncio
import io
import random
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator.failures import ServerRefused, Unreachable

_LARGEST_ANSWER = 32 * 1024 * 1024
_LONGEST_RETRY_AFTER = 600.0
_BUSY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The server's answer to one message."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is tried and how long everything may take, in seconds."""

    attempts: int = 6
    first_pause: float = 1.0
    longest_pause: float = 60.0
    timeout: float = 60.0


class Cut(Enum):
    """Where a lost network cuts a request off, once."""

    IN_THE_BODY = "in the body"
    BEFORE_THE_ANSWER = "before the answer"


class _NetworkLost(ConnectionError):
    """The simulated network went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `tls` says whom to trust and, perhaps, which certificate to show."""

    method: str
    url: str
    tls: ssl.SSLContext
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


class Transport:
    """One pool of connections for a whole fleet, opened when they are needed."""

    def __init__(self, *, connections: int = 64, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._connections = connections
        self._slots = asyncio.Semaphore(connections)
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),  # devices share the session, never a cookie
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def tls(self, roots: Iterable[x509.Certificate]) -> ssl.SSLContext:
        """A context that trusts the system's anchors and `roots`; the same for the same roots."""
        anchors = b"".join(root.public_bytes(Encoding.PEM) for root in roots)
        if anchors not in self._contexts:
            self._contexts[anchors] = new_context(anchors)
        return self._contexts[anchors]

    async def send(
        self, request: Request, *, cut: Cut | None = None, attempts: int | None = None
    ) -> Reply:
        """Return the answer, whatever it says; ask again while the server is busy or away.

        Raises Unreachable when all attempts ended so, ServerRefused when the last was 429 or 5xx.
        """
        patience = self._patience
        attempts = attempts or patience.attempts
        pause = patience.first_pause
        for attempt in range(1, attempts + 1):
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads a fleet's retries
            try:
                reply, retry_after = await self._once(request, cut)
                if reply.status not in _BUSY:
                    return reply
                if attempt == attempts:
                    raise ServerRefused(request.method, reply.status, reply.body)
                wait = max(wait, retry_after)
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                if attempt == attempts or isinstance(error, ssl.SSLCertVerificationError):
                    raise Unreachable(_explain(error)) from error
                if isinstance(error, aiohttp.ClientConnectorCertificateError):
                    raise Unreachable(_explain(error)) from error
            cut = None
            await asyncio.sleep(wait)
            pause = min(pause * 2, patience.longest_pause)
        raise Unreachable("no attempt allowed")

    async def _once(self, request: Request, cut: Cut | None) -> tuple[Reply, float]:
        if self._session is None:
            raise RuntimeError("the transport is used inside `async with` only")
        headers = dict(request.headers or {})
        data: io.BytesIO | AsyncIterator[bytes] | None = None
        if request.body is not None:
            data = io.BytesIO(request.body)
            if cut is Cut.IN_THE_BODY:
                data = _half(request.body)
                headers["Content-Length"] = str(len(request.body))
        async with self._slots, asyncio.timeout(self._patience.timeout):
            async with self._session.request(
                request.method, request.url, data=data, headers=headers, ssl=request.tls
            ) as response:
                if cut is Cut.BEFORE_THE_ANSWER:
                    response.close()
                    raise _NetworkLost("the network was lost before the answer came")
                reply = Reply(
                    status=response.status,
                    content_type=response.content_type,
                    body=await _read(response),
                )
                return reply, _retry_after(response.headers.get("Retry-After"))


def new_context(anchors: bytes) -> ssl.SSLContext:
    """A client context that trusts the system's anchors and these, as PEM."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if anchors:
        context.load_verify_locations(cadata=anchors.decode("ascii"))
    return context


async def _half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise _NetworkLost("the network was lost in the middle of a message")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise Unreachable(f"the answer is larger than {_LARGEST_ANSWER} bytes")
    return bytes(body)


def _retry_after(value: str | None) -> float:
    try:
        return min(max(float(value or 0), 0.0), _LONGEST_RETRY_AFTER)
    except ValueError:  # a date: the usual pause will do
        return 0.0


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
