"""Which libraries are too old."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.versions import versions, warnings

_GOOD = replace(
    versions(), sqlite="3.51.3", expat="2.7.2", cryptography_openssl="OpenSSL 3.2.0 23 Nov 2023"
)


@pytest.mark.parametrize("sqlite", ["3.44.6", "3.50.7", "3.51.3", "3.51.4", "3.52.0", "4.0"])
def test_sound_libraries_are_not_mentioned(sqlite: str) -> None:
    assert warnings(replace(_GOOD, sqlite=sqlite)) == []


@pytest.mark.parametrize("sqlite", ["3.40.1", "3.44.5", "3.45.9", "3.50.6", "3.51.2"])
def test_an_sqlite_that_can_lose_a_commit_is_named(sqlite: str) -> None:
    assert warnings(replace(_GOOD, sqlite=sqlite)) == [f"SQLite {sqlite} is older than 3.51.3"]


def test_an_old_expat_and_an_old_openssl_are_named() -> None:
    old = replace(_GOOD, expat="2.7.1", cryptography_openssl="OpenSSL 3.1.9 1 Jan 2024")
    assert [text.split(" is")[0] for text in warnings(old)] == [
        "expat 2.7.1", "OpenSSL 3.1.9 1 Jan 2024",
    ]  # fmt: skip
