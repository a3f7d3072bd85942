"""Fills a real server's store and dumps it to `tests/testdata/databases/schema-NNNN.sql`."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from tests.device.fixtures import start_server
from tests.device.server import Api, RunningServer, free_port

_FOLDER = Path(__file__).parent.parent / "tests" / "testdata" / "databases"


async def _fill(server: RunningServer) -> None:
    async with server.session() as session:
        api = Api(server, session)
        active, blocked, gone = [await api.enroll() for _ in range(3)]
        await active.set_bootstrap_token(b"bootstrap")
        await active.user().token_update()
        for status in ("acknowledge", "error", "format_error", "not_now"):
            await api.queue(active.id)
            command = (await active.idle()).command
            if command is None:
                raise SystemExit("a queued command was not handed out")
            await getattr(active, status)(command)
        await api.queue(active.id, "SecurityInfo")
        confirm = {"serial_number": (await api.device(active.id))["serial_number"] or active.id}
        await api.queue(active.id, "DeviceLock", confirm=confirm, parameters={"PIN": "123456"})
        await api.delete(f"/api/v1/commands/{await api.queue(blocked.id)}")
        await api.enqueue([active.id, blocked.id], "ProvisioningProfileList")
        await api.post(f"/api/v1/devices/{blocked.id}/block")
        await gone.check_out()
        link = await api.new_link(uses=3)
        await session.get(f"{link.url}/ota.mobileconfig")
        await api.post("/api/v1/webhooks", {"url": f"http://127.0.0.1:{free_port()}/added"})
        await api.post("/api/v1/users", {"name": "Aki", "password": "correct horse battery"})


def main() -> None:
    """Make the fixture of the present schema."""
    with tempfile.TemporaryDirectory() as folder:
        nobody = {"APPLIANCE_WEBHOOK__URLS": f"http://127.0.0.1:{free_port()}/"}  # all waits
        server = start_server(Path(folder, "data"), environment=nobody)
        try:
            asyncio.run(_fill(server))
        finally:
            server.stop()
        with closing(sqlite3.connect(server.data / "appliance.db")) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            lines = [*db.iterdump(), f"PRAGMA user_version = {version};"]
    _FOLDER.mkdir(parents=True, exist_ok=True)
    target = _FOLDER / f"schema-{version:04}.sql"
    target.write_text("\n".join(lines) + "\n")
    print(target)


if __name__ == "__main__":
    main()
