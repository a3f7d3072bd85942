"""The API, asked over the socket in the data directory; or in this process if nobody serves it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from appliance.cli.exits import Refused, ServerUnreachable, TimedOut
from appliance.cli.passphrase import ask
from appliance.cli.settings import Settings
from appliance.errors import InvalidRequest, NotInitialised
from appliance.services.data_directory import DataDirectory

T = TypeVar("T")

_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 90
_PAGE = 500


class Client:
    """One connection to the API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def bytes(self, method: str, path: str, **options: Any) -> bytes:
        """Return the body of the answer.

        Raises:
            Refused: the server answered with a problem.
            ServerUnreachable, TimedOut: it did not answer.
        """
        try:
            async with self._session.request(method, path, **options) as response:
                body = await response.read()
                if response.status >= 400:
                    raise _refused(response.status, body)
                return body
        except aiohttp.ClientConnectorError as error:
            raise ServerUnreachable("the server does not answer", why=str(error)) from error
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise TimedOut("the server did not answer in time") from error
        except aiohttp.ClientError as error:
            raise ServerUnreachable("the connection broke off", why=str(error)) from error

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return the JSON of the answer, None if there is none; `options` are aiohttp's."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        raw = await self.bytes(method, path, json=body, params=given, **options)
        return json.loads(raw) if raw else None

    async def pages(self, path: str, *, query: Mapping[str, Any], limit: int | None) -> Any:
        """Return a list's pages as one, up to `limit` items (all if None)."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(items))
            page = await self.call(
                "GET", path, query={**query, "limit": max(wanted, 1), "cursor": cursor}
            )
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None or (limit is not None and len(items) >= limit):
                return {"items": items, "next_cursor": cursor}


def run(
    settings: Settings, work: Callable[[Client], Awaitable[T]], *, serverless: bool = False
) -> T:
    """Do `work` with the API.

    Args:
        serverless: if no server runs, open the data directory in this process for the while.

    Raises:
        NotInitialised: there is no appliance in the directory.
        ServerUnreachable: no server runs, and one is needed.
    """

    async def do() -> T:
        async with _open(settings, serverless=serverless) as client:
            return await work(client)

    return asyncio.run(do())


def call(
    settings: Settings,
    method: str,
    path: str,
    *,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    serverless: bool = False,
) -> Any:
    """Make one call; see `run` and `Client.call`."""
    return run(
        settings,
        lambda client: client.call(method, path, body=body, query=query),
        serverless=serverless,
    )


def segment(name: str) -> str:
    """Return `name` as one segment of a path.

    Raises:
        InvalidRequest: it is no text; a shell hands over any bytes.
    """
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name!r} is not text in UTF-8") from error


@asynccontextmanager
async def _open(settings: Settings, *, serverless: bool) -> AsyncIterator[Client]:
    directory = DataDirectory(settings.directory)
    with _socket(directory) as path:
        if await _answers(path):
            async with _connected(path) as client:
                yield client
            return
    if not directory.is_initialised():
        raise NotInitialised(
            f"{directory.path} holds no appliance",
            fix=f"run `appliance init --data {directory.path} --url https://NAME:8443`, "
            "or name another directory with --data",
        )
    if not serverless:
        raise ServerUnreachable(
            f"no server runs on {directory.path}",
            fix=f"start it with `appliance serve --data {directory.path}`",
        )
    from appliance.app import local_api

    async with local_api(settings.config(), ask):
        with _socket(directory) as path:
            async with _connected(path) as client:
                yield client


@contextmanager
def _socket(directory: DataDirectory) -> Iterator[str]:
    """A Unix address holds about 100 bytes, a path may be longer: name it from its folder."""
    try:
        folder = os.open(directory.run, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield str(directory.socket)
        return
    try:
        short = Path(f"/proc/self/fd/{folder}")
        yield str((short if short.exists() else directory.run) / directory.socket.name)
    finally:
        os.close(folder)


@asynccontextmanager
async def _connected(path: str) -> AsyncIterator[Client]:
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    connector = aiohttp.UnixConnector(path)
    async with aiohttp.ClientSession("http://localhost", connector=connector, timeout=timeout) as s:
        yield Client(s)


async def _answers(path: str) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _refused(status: int, body: bytes) -> Refused:
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    return Refused(
        document.get("detail") or f"the server answered {status}",
        code=document.get("code", f"http.{status}"),
        status=status,
        why=document.get("why", ""),
        fix=document.get("hint", ""),
    )
