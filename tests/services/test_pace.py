"""The pace of pushes."""

from __future__ import annotations

from appliance.services.pace import Pace


def _woken(pace: Pace, *, seconds: float, share: float) -> int:
    """How many are woken in a while, with an event loop that works this share of it."""
    woken = 0
    for turn in range(round(seconds * 20)):
        now = 1000 + turn / 20
        room = pace.room(now, now * share)
        woken += room
        pace.spend(room)
    return woken


def test_an_idle_server_wakes_as_many_as_it_may() -> None:
    assert 2000 <= _woken(Pace(200), seconds=10, share=0.1) <= 2050


def test_a_busy_server_wakes_fewer_and_never_none() -> None:
    assert 450 <= _woken(Pace(200), seconds=10, share=0.9) <= 550 + 50
    assert _woken(Pace(200), seconds=10, share=1.0) >= 200


def test_one_a_second_is_possible() -> None:
    pace = Pace(1)
    assert 8 <= _woken(pace, seconds=10, share=0.0) <= 12
    assert not pace.room(1009.97, 0.0)
    assert 0 < pace.wait_seconds <= 2
