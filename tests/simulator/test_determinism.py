"""The same seed gives the same fleet: names, tokens, faults and the order of its whims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.simulator.faults import Fault, assign
from tests.simulator.fake_mdm import FakeMdm, fake_mdm
from tests.simulator.fleets import running_fleet

_CAPABILITIES = ["com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken"]
_WHIMS = {Fault.NOT_NOW: 8, Fault.LOST_NETWORK: 2}


async def _run(folder: Path, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a server receives of a fleet that enrolls and is asked for a lot, device by device."""
    folder.mkdir()
    async with fake_mdm(folder) as mdm, running_fleet(seed=seed, devices=8, faults=_WHIMS) as fleet:
        await fleet.fleet.enroll(mdm.source(ServerCapabilities=_CAPABILITIES))
        await _work(mdm, fleet)
        check_ins = [each for each in mdm.received if "MessageType" in each]
        return sorted(check_ins, key=_order), fleet.journal.summary()["commands"]


async def _work(mdm: FakeMdm, watched: Any) -> None:
    for device in watched.fleet.devices:
        for _ in range(5):
            mdm.command("CertificateList")
        watched.fleet.wake(device, device.channels[0])
        await watched.until(lambda: not mdm.commands)


def _order(message: dict[str, Any]) -> tuple[str, str, str]:
    return message["UDID"], message["MessageType"], message.get("UserID", "")


async def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    first, again = await _run(tmp_path / "1", 7), await _run(tmp_path / "2", 7)
    assert first == again
    assert (await _run(tmp_path / "3", 8))[0] != first[0]


def test_faults_fall_on_the_same_devices_whatever_else_is_wanted() -> None:
    alone = assign(3, 100, {Fault.SLOW: 10})
    among = assign(3, 100, {Fault.SLOW: 10, Fault.SILENT: 50})
    slow = [Fault.SLOW in faults for faults in alone]
    assert slow == [Fault.SLOW in faults for faults in among]
    assert sum(slow) == 10
