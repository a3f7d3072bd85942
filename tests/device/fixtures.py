"""Fixtures shared by the stories and the trust rows: one server for many tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from .apple import AppleLike
from .device import Device
from .server import Api, RunningServer


def start_server(
    data: Path, *, environment: dict[str, str] | None = None, push_certificate: bool = True
) -> RunningServer:
    """A ready server; with a push certificate unless told otherwise."""
    server = RunningServer(data, environment=environment)
    server.initialise()
    server.start()

    async def prepare() -> None:
        async with server.session() as session:
            answer = await server.import_push_certificate(Api(server, session))
            assert answer.status in (200, 201), answer

    if push_certificate:
        asyncio.run(prepare())
    return server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server most tests share; each test brings its own devices."""
    running = start_server(tmp_path_factory.mktemp("server") / "data")
    yield running
    assert running.stop() == 0, "SIGTERM ends the server cleanly"


@pytest_asyncio.fixture
async def api(server: RunningServer) -> AsyncIterator[Api]:
    """The shared server's API; afterwards: no 500 was sent, and no 401 to a device."""
    server.unauthorized.clear()
    server.failures.clear()
    async with server.session() as session:
        yield Api(server, session)
    assert not server.failures, f"500: {dict(server.failures)}\n{server.log_tail()}"
    assert not server.unauthorized, f"401 to a device: {dict(server.unauthorized)}"


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> AppleLike:
    """Who the server of `believing` believes in beside Apple."""
    return AppleLike(tmp_path_factory.mktemp("apple"))


@pytest.fixture(scope="module")
def believing(
    apple: AppleLike, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that knows whose devices these are."""
    environment = {"APPLIANCE_ENROLL__DEVICE_CA_FILE": str(apple.authority_file)}
    running = start_server(tmp_path_factory.mktemp("proof") / "data", environment=environment)
    yield running
    assert running.stop() == 0


@pytest_asyncio.fixture
async def device(api: Api) -> Device:
    """An enrolled device with an empty queue."""
    return await api.enroll()


@pytest_asyncio.fixture
async def other(api: Api) -> Device:
    """Another enrolled device."""
    return await api.enroll()
