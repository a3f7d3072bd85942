"""A short run of `scripts/fuzz`: no reader raises, hangs or grows on what strangers may send."""

from __future__ import annotations

import pytest

from tests.fuzz.run import LONGEST_SECONDS, fuzz
from tests.fuzz.seeds import Seeds
from tests.fuzz.targets import targets
from tests.trust.timing import slowness

_TARGETS = targets(Seeds())
# Reading a private key checks that it is one, which takes milliseconds.
_CASES = {"key-pair": 60, "pkcs12": 300, "scep-attribute": 500}


@pytest.mark.filterwarnings("ignore:Parsed a:Warning")
@pytest.mark.parametrize("name", _TARGETS)
def test_nothing_but_our_own_errors_comes_out(name: str) -> None:
    outcome = fuzz(name, _TARGETS[name], cases=_CASES.get(name, 3_000), seed=7)
    assert outcome.slowest_seconds < LONGEST_SECONDS * slowness()


@pytest.mark.parametrize("name", _TARGETS)
def test_the_inputs_are_good_before_they_are_broken(name: str) -> None:
    target = _TARGETS[name]
    accepted = 0
    for seed in target.seeds:
        try:
            target.read(seed)
            accepted += 1
        except target.refusals:
            continue
    assert accepted, "otherwise only the first check of the reader is fuzzed"
