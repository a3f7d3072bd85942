"""Where a demo lives: a free port of every loopback address."""

from __future__ import annotations

import errno
import socket

from appliance.errors import ConfigError, Conflict

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_PORTS_TRIED = 20


def listen_addresses(port: int) -> tuple[str, ...]:
    """Return `port` of every loopback address of this machine: browsers try both.

    Raises:
        Conflict: the port is taken; the fix names a free one.
        ConfigError: it needs more rights.
    """
    try:
        free = [address for family, address in _LOOPBACK if _can_listen(family, address, port)]
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigError(
                f"cannot listen on port {port}: {error.strerror}",
                fix="choose a port of 1024 or more with --port",
            ) from error
        raise Conflict(
            f"port {port} is in use",
            code="demo.port_in_use",
            why="a server or another demo has it",
            fix=f"stop that one, or run `appliance demo --port {_free_port(port)}`",
        ) from error
    return tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in free)


def _can_listen(family: socket.AddressFamily, address: str, port: int) -> bool:
    """Try it; False where the machine has no such address."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(1)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return False
        raise
    return True


def _free_port(taken: int) -> int:
    for port in range(taken + 1, min(taken + _PORTS_TRIED, 65_535)):
        try:
            for family, address in _LOOPBACK:
                _can_listen(family, address, port)
        except OSError:
            continue
        return port
    return 18_443
