"""Whether the clock can be believed is measured by the date of the release."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from appliance.services.clock import is_behind, now_ms

_CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
_RELEASE = re.compile(r"^## \[\d[^]]*\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def test_a_clock_that_is_behind_the_last_release_is_wrong() -> None:
    assert not is_behind(now_ms())
    assert is_behind(0)
    for date in _RELEASE.findall(_CHANGELOG.read_text("utf-8")):
        released = datetime.fromisoformat(date).replace(tzinfo=UTC)
        assert is_behind(int(released.timestamp() * 1000) - 1), "set services/clock._RELEASED"
