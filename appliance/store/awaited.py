"""Devices that another server enrolled and that have not come yet, and whose certificates count.

`awaited_identities.sha256` holds the digest of each certificate that was told of the device, one
behind the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Connection, from_ms

_DIGEST = 32  # bytes of a SHA-256


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One device; `expected` has the SHA-256 of each certificate that was told of it."""

    enrollment_id: str
    expected: list[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedDevice:
    """One device as people see it."""

    id: str
    name: str | None
    serial_number: str | None
    migrated_at: datetime | None
    certificates_sha256: list[str]  # it has one of them; empty: none was told


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerAuthority:
    """An authority of another server, whose certificates count for awaited devices."""

    sha256: bytes
    der: bytes
    trusted_at: int


def put(db: Connection, enrollment_id: str, now: int) -> None:
    """Await a device; what was told of its certificates already stays."""
    db.execute(
        """
        INSERT INTO awaited_identities (enrollment_id, migrated_at)
        VALUES (:id, :now)
        ON CONFLICT (enrollment_id) DO UPDATE SET migrated_at = :now
        """,
        {"id": enrollment_id, "now": now},
    )


def get(db: Connection, enrollment_id: str) -> Awaited | None:
    """Return the device of this ID, None if it is not awaited."""
    row = db.execute(
        "SELECT enrollment_id, sha256 FROM awaited_identities WHERE enrollment_id = ?",
        (enrollment_id,),
    ).fetchone()
    return None if row is None else Awaited(enrollment_id=row[0], expected=_digests(row[1]))


def expect(db: Connection, enrollment_id: str, digests: Iterable[bytes]) -> bool:
    """Tell which certificates an awaited device may have, in place of what was told before.

    Returns:
        False if it is not awaited.
    """
    changed = db.execute(
        "UPDATE awaited_identities SET sha256 = ? WHERE enrollment_id = ?",
        (b"".join(digests), enrollment_id),
    ).rowcount
    return bool(changed)


def is_expected_of_another(db: Connection, enrollment_id: str, sha256: bytes) -> bool:
    """Tell whether the certificate is known to be another device's."""
    row = db.execute(
        "SELECT 1 FROM awaited_identities WHERE instr(sha256, ?) AND enrollment_id <> ?",
        (sha256, enrollment_id),
    ).fetchone()
    return row is not None


def remove(db: Connection, enrollment_id: str) -> None:
    """Await the device no more: it has come, or its enrollment has ended or begun anew."""
    db.execute("DELETE FROM awaited_identities WHERE enrollment_id = ?", (enrollment_id,))


def devices(db: Connection, *, after: str, limit: int) -> list[AwaitedDevice]:
    """Return the awaited devices behind the ID `after`, by ID."""
    rows = db.execute(
        """
        SELECT a.enrollment_id, d.name, d.serial_number, a.migrated_at, a.sha256
          FROM awaited_identities AS a
          LEFT JOIN devices AS d ON d.enrollment_id = a.enrollment_id
         WHERE a.enrollment_id > ?
         ORDER BY a.enrollment_id
         LIMIT ?
        """,
        (after, limit),
    )
    return [
        AwaitedDevice(
            id=row[0], name=row[1], serial_number=row[2], migrated_at=from_ms(row[3]),
            certificates_sha256=[digest.hex() for digest in _digests(row[4])],
        )
        for row in rows
    ]  # fmt: skip


def authorities(db: Connection) -> list[FormerAuthority]:
    """Return the authorities whose certificates count, the first trusted first."""
    rows = db.execute("SELECT sha256, der, trusted_at FROM former_authorities ORDER BY trusted_at")
    return [
        FormerAuthority(sha256=bytes(row[0]), der=bytes(row[1]), trusted_at=row[2]) for row in rows
    ]


def trust(db: Connection, sha256: bytes, der: bytes, now: int) -> None:
    """Let the certificates of an authority count."""
    db.execute(
        "INSERT OR IGNORE INTO former_authorities (sha256, der, trusted_at) VALUES (?, ?, ?)",
        (sha256, der, now),
    )


def distrust(db: Connection, sha256: bytes) -> bool:
    """Let them count no more, except for devices that have come; false if they did not."""
    return bool(db.execute("DELETE FROM former_authorities WHERE sha256 = ?", (sha256,)).rowcount)


def _digests(told: bytes | None) -> list[bytes]:
    return [told[at : at + _DIGEST] for at in range(0, len(told), _DIGEST)] if told else []
