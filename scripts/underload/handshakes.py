"""What a TLS connection costs the server: a new one, and one that resumes a session."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from .fleets import Rows
from .stage import Stage, Terms, stage

_COUNT = 600
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def handshakes(folder: Path, terms: Terms) -> Rows:
    """Processor time of the server for each connection with one small request."""
    rows = {}
    async with stage(folder, terms) as on:
        for name, version in (("1.3", ssl.TLSVersion.TLSv1_3), ("1.2", ssl.TLSVersion.TLSv1_2)):
            context = on.tls
            context.minimum_version = context.maximum_version = version
            rows[f"TLS {name}, new"] = _measure(on, context, resume=False)
            rows[f"TLS {name}, resumed"] = _measure(on, context, resume=True)
        context = on.tls
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            context.set_ciphers(suite)
            rows[f"TLS 1.2, new, {suite}"] = _measure(on, context, resume=False)
    return rows


def _measure(on: Stage, context: ssl.SSLContext, *, resume: bool) -> str:
    session: ssl.SSLSession | None = None
    reused, before, cipher = 0, 0.0, None
    for number in range(_COUNT + 20):
        if number == 20:
            before = sum(on.process.cpu_times()[:2])
        with socket.create_connection(("127.0.0.1", on.server.port)) as plain:
            with context.wrap_socket(
                plain, server_hostname="localhost", session=session if resume else None
            ) as connection:
                connection.sendall(_HEALTH)
                while connection.recv(4096):
                    pass
                reused += bool(connection.session_reused)
                session = connection.session
                cipher = connection.cipher()
    spent = sum(on.process.cpu_times()[:2]) - before
    return f"{spent / _COUNT * 1e6:.0f} µs ({reused} resumed, {cipher[0] if cipher else '?'})"
