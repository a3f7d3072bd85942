"""How much of the devices' work is in hand at once; what goes beyond is asked to come back."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web

from appliance.errors import Busy


class Admission:
    """Counts the requests being worked on.

    One whose body is still arriving does not count, or slow clients could keep all others out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def check(self) -> None:
        """Refuse a request before anything is spent on it.

        Raises:
            Busy: as many as there may be are being worked on.
        """
        if self._count >= self._most:
            raise Busy("too many requests of devices at the same time")

    def __enter__(self) -> None:
        self.check()
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1


ADMISSION = web.AppKey("admission", Admission)
