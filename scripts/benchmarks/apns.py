"""Runs the loopback APNs alone; the first line printed names the port."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from appliance.simulator.apns import ApnsServer
from appliance.simulator.apns_certificates import TOPIC, write_certificates


async def _serve(directory: Path, topic: str, port: int) -> None:
    server = ApnsServer(write_certificates(directory, topic).ssl_context())
    await server.start(port)
    print(f"listening on 127.0.0.1:{server.port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where certificates go")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--topic", default=TOPIC)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.directory, arguments.topic, arguments.port))


if __name__ == "__main__":
    main()
