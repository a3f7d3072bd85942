"""One POST behind one call with a typed outcome: never slow, never large, never elsewhere."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp
from aiohttp.connector import AddrInfoType

from appliance.outbound.addresses import refusal
from appliance.outbound.resolver import OwnResolver

_MOST_REPLY_BYTES = 64 * 1024
_REPLY_SECONDS = 1.0  # for the body of a reply, which says nothing that counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """There was an answer, of whatever status."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """There was none: no such name, an address that is refused, no connection, TLS, too slow."""

    reason: str


Outcome: TypeAlias = Answered | Unreachable


class Poster:
    """Sends to receivers over connections that are kept for the next time."""

    def __init__(
        self, *, timeout_seconds: float, allow_private: bool, tls: ssl.SSLContext, at_once: int
    ) -> None:
        """Remember how; call it on the event loop that will send.

        Args:
            timeout_seconds: for all of it: name, connection, TLS, request, reply.
            allow_private: also to addresses of this machine and of private networks.
            tls: whose authorities vouch for receivers.
            at_once: connections at most.
        """
        self._timeout_seconds = timeout_seconds
        self._allow_private = allow_private
        connector = aiohttp.TCPConnector(
            ssl=tls, limit=at_once, resolver=OwnResolver(), socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "appliance"},
            timeout=aiohttp.ClientTimeout(total=None),  # ours counts everything
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send once, and return what became of it; never raises for reasons of the network.

        No redirect is followed: it is an answer like any other. Of the reply's body, which means
        nothing, at most 64 KiB are read.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with self._session.post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as response:
                    await _drain(response)
                    return Answered(status=response.status)
        except TimeoutError:
            return Unreachable(reason=f"no answer within {self._timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unreachable(reason=_reason(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """Make the socket for one address, whether a name led to it or it was written so.

        Here and not before: what is checked is what is connected to.
        """
        family, kind, protocol, _, address = info
        problem = refusal(str(address[0]), allow_private=self._allow_private)
        if problem is not None:
            raise OSError(errno.EACCES, f"refused: {problem}")
        return socket.socket(family=family, type=kind, proto=protocol)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short reply to its end, so that the connection can be used again; close any other."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_REPLY_SECONDS):
            left = _MOST_REPLY_BYTES
            while chunk := await response.content.read(left):
                left -= len(chunk)
                if left <= 0:
                    break
            else:
                return
    response.close()


def _reason(error: Exception) -> str:
    """Return why, without the address, which may hold a secret."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS failed: {error.os_error.strerror or 'no handshake'}"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "no connection"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.ClientResponseError():
            return "its answer is no HTTP"
        case _:
            return type(error).__name__
