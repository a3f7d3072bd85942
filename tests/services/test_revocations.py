"""The revocation list is signed when it changes or grows old, whoever asks and how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from appliance.services import revocations
from appliance.services.revocations import RevocationList
from appliance.simulator import keys
from appliance.store import certificates as store
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database

HOUR = 3_600_000


class Clock:
    """Unix ms, as the test sets them."""

    def __init__(self) -> None:
        self.now = int(time.time()) * 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(revocations, "now_ms", clock)
    return clock


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "appliance.db")
    yield database
    await database.close()


@pytest.fixture
def kept(database: Database) -> RevocationList:
    authority = keys.self_signed(keys.name(("CN", "CA")))
    return RevocationList(database, authority.certificate, authority.key)


async def revoke(database: Database, serial: int, now: int) -> None:
    """Issue a certificate of this serial number, and revoke it."""
    sha256 = serial.to_bytes(32, "big")
    issued = Issued(
        sha256=sha256, serial=f"{serial:x}", der=b"", public_key_sha256=b"", link_code=None,
        issued_for=None, enrollment_id=None, issued_at=now, not_after=now * 2, revoked_at=None,
    )  # fmt: skip

    def unit(db: Connection) -> None:
        store.add(db, issued, transaction_id="t")
        assert store.revoke(db, sha256, reason="administrator", now=now)

    await database.write(unit)


def number_of(der: bytes) -> int:
    crl = x509.load_der_x509_crl(der)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


async def test_many_who_ask_cost_one_signature(kept: RevocationList, clock: Clock) -> None:
    lists = await asyncio.gather(*(kept.current() for _ in range(20)))
    clock.now += HOUR - 1
    lists.append(await kept.current())
    assert len(set(lists)) == 1


async def test_what_is_revoked_stands_on_the_list_at_once(
    kept: RevocationList, database: Database, clock: Clock
) -> None:
    lists = [await kept.current()]
    for serial in (7, 8):  # within the same millisecond
        await revoke(database, serial, clock.now)
        lists.append(await kept.current())
        crl = x509.load_der_x509_crl(lists[-1])
        assert crl.get_revoked_certificate_by_serial_number(serial) is not None
    numbers = [number_of(der) for der in lists]
    assert numbers == sorted(set(numbers)), "a list of the same number is the same list"


@pytest.mark.parametrize("passed", [HOUR, -1000], ids=["an hour", "a clock set back"])
async def test_a_list_is_not_kept_for_longer(
    kept: RevocationList, clock: Clock, passed: int
) -> None:
    first = await kept.current()
    clock.now += passed
    second = await kept.current()
    assert number_of(second) > number_of(first)
    crl = x509.load_der_x509_crl(second)
    assert crl.last_update_utc.timestamp() * 1000 == clock.now
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - crl.last_update_utc == timedelta(days=7)
