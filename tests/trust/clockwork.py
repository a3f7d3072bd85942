"""A server whose clock is set by the test, with libfaketime; its timers stay true."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.server import Api, RunningServer

_LIBRARIES = (
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketimeMT.so.1"),
)
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME


class ClockworkServer(RunningServer):
    """A server with a clock of its own; who connects to it does not look at dates."""

    def __init__(self, data: Path, *, clock: str = "+0", **environment: str) -> None:
        self._clock = data.parent / "clock"
        self.set_clock(clock)
        super().__init__(
            data,
            environment={
                **environment,
                "TZ": "UTC",  # which faketime takes its clock to be in
                "LD_PRELOAD": _library(),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            },
        )

    def set_clock(self, clock: str) -> None:
        """Set it, as faketime(1) says: "+10y", or "@1970-01-01 00:10:00", from where it goes on."""
        partial = self._clock.with_name("clock.new")
        partial.write_text(clock + "\n")
        partial.replace(self._clock)

    @property
    def tls(self) -> ssl.SSLContext:
        """A client context that trusts this server whatever the date."""
        context = super().tls
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        return context


def _library() -> str:
    if not _LIBRARIES:
        pytest.skip("needs faketime: scripts/external-programs")
    return str(_LIBRARIES[0])


def running(data: Path, **environment: str) -> Iterator[ClockworkServer]:
    """One that can push, for a fixture; at its end it must have stopped well."""
    server = ClockworkServer(data, **environment)
    server.initialise()
    server.start()

    async def prepare() -> None:
        async with server.session() as session:
            await server.import_push_certificate(Api(server, session))

    asyncio.run(prepare())
    yield server
    assert server.stop() == 0
    assert not server.unauthorized
    assert "Traceback" not in server.log_tail()
