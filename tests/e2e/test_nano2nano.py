"""A fleet moves here from NanoMDM with its own tool, and goes on where it was."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from tests.device.device import Device
from tests.device.scep import ScepClient
from tests.device.server import Api, free_port
from tests.programs import program
from tests.simulator.test_nanomdm import started

_DEVICES = 3
_KEY = "nano"
_CHALLENGE = "static"


async def _enroll(device: Device, scep: int, nanomdm: int, topic: str) -> None:
    client = ScepClient(device.session, f"http://127.0.0.1:{scep}/scep")
    device.identity = await client.enroll(_CHALLENGE, subject=[("CN", device.udid)])
    device.topic = topic
    device.server_url = device.check_in_url = f"http://127.0.0.1:{nanomdm}/mdm"
    for reply in (await device.authenticate(), await device.token_update()):
        assert reply.status == 200, reply.body
    assert (await device.set_bootstrap_token(b"token of " + device.udid.encode())).status == 200


def _nano2nano(api: Api, store: Path) -> str:
    """Run NanoMDM's own tool; returns what it says."""
    done = subprocess.run(
        [
            program("nano2nano"), "-storage", "filekv", "-storage-dsn", str(store),
            "-url", f"{api.server.url}/migration", "-key", api.token,
        ],
        env={**os.environ, "SSL_CERT_FILE": str(api.server.root_file)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


async def test_nano2nano_moves_a_fleet_that_then_goes_on_here(api: Api, tmp_path: Path) -> None:
    nanomdm, scepserver = program("nanomdm"), program("scepserver")
    depot, store, ports = tmp_path / "depot", tmp_path / "db", (free_port(), free_port())
    subprocess.run(
        [scepserver, "ca", "-init", "-depot", depot, "-keySize", "2048"], check=True, timeout=60
    )
    scep = [scepserver, "-depot", str(depot), "-challenge", _CHALLENGE, "-allowrenew", "0"]
    scep += ["-http-addr", f"127.0.0.1:{ports[0]}"]
    mdm = [nanomdm, "-listen", f"127.0.0.1:{ports[1]}", "-ca", str(depot / "ca.pem")]
    mdm += ["-api", _KEY, "-storage", "filekv", "-storage-dsn", str(store)]
    with started(ports[0], tmp_path / "scep.log", *scep):
        with started(ports[1], tmp_path / "nanomdm.log", *mdm):
            devices = [Device(api.session) for _ in range(_DEVICES)]
            for device in devices:
                await _enroll(device, *ports, api.server.topic)
            user = devices[0].user()
            assert (await user.token_update()).status == 200

    told = await asyncio.to_thread(_nano2nano, api, store)
    assert "HTTP status" not in told, told
    for device in devices:
        shown = await api.device(device.id)
        assert (shown["enrolled"], shown["serial_number"]) == (True, device.serial_number)
        device.server_url = device.check_in_url = f"{api.server.url}/mdm"
        assert (await device.idle()).status == 400, "nothing has told whose certificate is whose"
    assert (await api.device(f"{devices[0].id}:{user.identification['UserID']}"))["enrolled"]

    pairs = tmp_path / "CertAuth.txt"
    (known,) = store.rglob(f"{devices[0].id}.cert_hash")  # as NanoMDM remembers it
    former = f"{known.stem},{'1' * 64}"  # NanoMDM's databases keep these, in no order
    pairs.write_text(f"{known.stem},{known.read_text()}\n{former}\nGONE,{'0' * 64}\n")
    done = await asyncio.to_thread(api.server.cli, "migration", "expect", str(pairs))
    assert "certificate is expected: 1" in done.stderr
    assert "GONE" in done.stderr
    await asyncio.to_thread(api.server.cli, "migration", "trust", str(depot / "ca.pem"))
    listed = await asyncio.to_thread(api.server.cli, "migration", "list")
    assert all(device.id in listed.stdout for device in devices)
    assert (listed.stdout.count("one of 2"), listed.stdout.count("trusted authority")) == (1, 2)

    for device in devices:
        waits = await api.queue(device.id)
        command = (await device.idle()).command
        assert command is not None
        assert command.uuid == waits
        assert (await device.acknowledge(command)).status == 200
        assert await device.get_bootstrap_token() == b"token of " + device.udid.encode()
    assert (await user.idle()).status == 200
    listed = await asyncio.to_thread(api.server.cli, "migration", "list")
    assert not any(device.id in listed.stdout for device in devices)
