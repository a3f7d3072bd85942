"""Names that devices and people choose, printed to an administrator's terminal."""

from __future__ import annotations

import json

from tests.device.device import Device
from tests.device.server import Api

# Escape sequences that retitle, clear or answer; C1 controls; text that runs backwards.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp.exe\u2028next\r=cmd|'/C calc'!A1"
NAME = HOSTILE.replace("\x1b", "").replace("\x07", "")  # XML has no escape and no bell


async def test_d_12_no_name_steers_the_terminal(api: Api, device: Device) -> None:
    assert (await device.authenticate(DeviceName=NAME)).status == 200
    assert (await device.token_update()).status == 200
    made = await api.post("/api/v1/enrollment-links", {"label": HOSTILE})
    assert made.status == 201
    for verb in (("device", "list"), ("device", "show", device.id), ("enroll", "list")):
        for form in ((), ("--json",)):
            printed = api.server.cli(*verb, *form).stdout
            assert [c for c in printed if not c.isprintable() and c != "\n"] == [], verb
            assert "gnp.exe" in printed
    shown = json.loads(api.server.cli("device", "show", device.id, "--json").stdout)
    assert shown["name"] == NAME.replace("\r", "\n"), "in JSON it is whole; XML has one line end"


async def test_c_25_no_name_makes_a_line_of_the_log(api: Api, device: Device) -> None:
    forged = '\n{"level": "error", "message": "forged"}'
    assert (await device.authenticate(DeviceName=forged, Model=forged)).status == 200
    assert (await device.check_in("Forged" + forged)).status == 400
    assert (await device.report("Error", "x" + forged)).status == 400
    lines = api.server.log.read_text().splitlines()
    assert not [line for line in lines if line.startswith(("{", '"'))]
