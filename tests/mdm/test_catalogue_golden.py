"""One golden plist per request type: what a device is sent changes only on purpose.

`UPDATE_GOLDEN=1 pytest tests/mdm/test_catalogue_golden.py` writes them anew.
"""

from __future__ import annotations

import os
import plistlib
from pathlib import Path

import pytest

from appliance.mdm.catalogue import build_command, catalogue
from tests.mdm.catalogue_samples import sample_parameters

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "commands"


@pytest.mark.parametrize("request_type", catalogue())
def test_command_is_encoded_as_before(request_type: str) -> None:
    command = build_command(request_type, sample_parameters(catalogue()[request_type]))
    encoded = plistlib.dumps(command, sort_keys=False)
    golden = GOLDEN / f"{request_type}.plist"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(encoded)
    assert encoded == golden.read_bytes()
    assert next(iter(command)) == "RequestType"


def test_there_is_no_golden_file_without_its_request_type() -> None:
    assert {path.stem for path in GOLDEN.glob("*.plist")} == set(catalogue())
