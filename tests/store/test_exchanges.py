"""Exchanges: what led to nothing is forgotten with its challenge, what made a certificate stays."""

from __future__ import annotations

from functools import partial

import pytest

from appliance.errors import NotAuthorized
from appliance.store import certificates, exchanges, links
from appliance.store.certificates import Issued
from appliance.store.database import Connection, Database

NOW = 1_000_000_000


def _begin(db: Connection, challenge: bytes) -> None:
    if not links.all_links(db, NOW):
        links.add(db, "LINK", label="", uses=2, now=NOW, expires_at=NOW + 100)
    exchanges.begin(db, challenge, link_code="LINK", now=NOW, expires_at=NOW + 100)


def _identified(db: Connection, challenge: bytes) -> int:
    _begin(db, challenge)
    exchange = exchanges.identify(
        db, challenge, udid="A", serial_number="C1", proven=True, now=NOW + 1
    )
    links.add_challenge(
        db, b"scep" + challenge, link_code=None, issued_for=None, now=NOW, expires_at=NOW + 100,
        exchange_id=exchange.id,
    )  # fmt: skip
    return exchange.id


def _certificate(db: Connection, sha256: bytes) -> None:
    issued = Issued(
        sha256=sha256, serial=sha256.hex(), der=b"", public_key_sha256=b"", link_code=None,
        issued_for=None, enrollment_id=None, issued_at=NOW, not_after=NOW, revoked_at=None,
    )  # fmt: skip
    certificates.add(db, issued, transaction_id="")


async def test_what_led_to_nothing_is_forgotten_with_its_challenge(database: Database) -> None:
    def unit(db: Connection) -> tuple[int, int]:
        _begin(db, b"begun")
        _identified(db, b"identified")
        exchange_id = _identified(db, b"certified")
        _certificate(db, b"identity")
        exchanges.issued(db, exchange_id, b"identity")
        exchanges.forget_expired(db, NOW + 99)
        early = db.execute("SELECT count(*) FROM exchanges").fetchone()[0]
        exchanges.forget_expired(db, NOW + 100)
        assert db.execute("SELECT count(*) FROM challenges").fetchone() == (1,)
        return early, db.execute("SELECT count(*) FROM exchanges").fetchone()[0]

    assert await database.write(unit) == (3, 1)
    found = await database.read(lambda db: exchanges.of_certificate(db, b"identity"))
    assert found is not None
    assert found.identity_sha256 == b"identity", "what it must never do is known for ever"


async def test_the_first_certificate_is_the_exchanges_and_the_next_the_devices(
    database: Database,
) -> None:
    def unit(db: Connection) -> None:
        exchange_id = _identified(db, b"challenge")
        for sha256 in (b"first", b"second"):
            _certificate(db, sha256)
            exchanges.issued(db, exchange_id, sha256)
            exchanges.finish(db, exchange_id, NOW + 2, expires_at=NOW + 50)

    await database.write(unit)
    for sha256 in (b"first", b"second"):
        found = await database.read(partial(exchanges.of_certificate, sha256=sha256))
        assert found is not None
        assert (found.identity_sha256, found.finished) == (b"first", True)
        assert found.is_with("A", "C1")
        assert not found.is_with("A", None)
        assert not found.is_with("A", "C2")
        assert not found.is_with("B", "C1")


@pytest.mark.parametrize(
    ("now", "reason"),
    [(NOW + 100, "expired"), (NOW - 70_000, "set back"), (NOW + 2, "used before")],
)
async def test_a_challenge_is_good_once_and_for_its_time(
    database: Database, now: int, reason: str
) -> None:
    def unit(db: Connection) -> None:
        _begin(db, b"challenge")
        assert exchanges.check(db, b"challenge", NOW + 1) == "LINK"
        if reason == "used before":
            exchanges.identify(
                db, b"challenge", udid="A", serial_number="C", proven=False, now=NOW + 1
            )
        exchanges.check(db, b"challenge", now)

    with pytest.raises(NotAuthorized, match=reason):
        await database.write(unit)
