"""Names to addresses, in threads that nobody else needs: a dead resolver holds nobody up."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, TypeAlias

# Family, type, protocol, canonical name and address, as `socket.getaddrinfo` has them.
Found: TypeAlias = "tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]"


def look_up(
    host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
) -> asyncio.Future[list[Found]]:
    """Ask the system; the future gets what it says, however long that takes, or an OSError.

    Whoever may give up before waits for it shielded.

    The event loop would ask in the threads that all else shares, and wait for them at its end.
    The system's call cannot be stopped and may take a minute: this one keeps no process alive.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Found]] = loop.create_future()
    future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # if all gave up

    def tell(outcome: list[Found] | OSError) -> None:
        if future.done():
            return
        if isinstance(outcome, OSError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def look() -> None:
        outcome: list[Found] | OSError
        try:
            outcome = list(
                socket.getaddrinfo(
                    host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            )
        except (OSError, UnicodeError) as error:
            outcome = OSError(None, f"the name cannot be found: {error}")
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=look, name="name lookup", daemon=True).start()
    return future
