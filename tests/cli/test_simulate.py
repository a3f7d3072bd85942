"""`appliance simulate` where no server answers; see also `tests/simulator/test_command_line.py`."""

from __future__ import annotations

from tests.device.server import free_port

from .conftest import Cli


def test_devices_that_nobody_answered_have_failed_at_the_end(run: Cli) -> None:
    nowhere = f"https://127.0.0.1:{free_port()}/e/x/enroll.mobileconfig"
    done = run("simulate", "--profile", nowhere, "--duration", "1", "--json")
    assert (done.status, done.json["enrolled"]) == (1, 0)
