"""Certificates: every identity that was issued, what it may do, and whether it is revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.store.database import Connection, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An identity certificate as it is stored."""

    sha256: bytes
    serial: str
    der: bytes
    public_key_sha256: bytes
    link_code: str | None
    issued_for: str | None
    enrollment_id: str | None
    issued_at: int
    not_after: int
    revoked_at: int | None
    adopted: bool = False  # another server's authority issued it


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One entry of the revocation list."""

    serial: str
    revoked_at: datetime


_COLUMNS = """sha256, serial, der, public_key_sha256, link_code, issued_for, enrollment_id,
       issued_at, not_after, revoked_at, adopted"""


def add(db: Connection, issued: Issued, *, transaction_id: str) -> None:
    """Store a new certificate; the caller's transaction also consumes its challenge."""
    db.execute(
        """
        INSERT INTO certificates (sha256, serial, der, public_key_sha256, transaction_id,
                                  link_code, issued_for, issued_at, not_after, adopted)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            issued.sha256, issued.serial, issued.der, issued.public_key_sha256, transaction_id,
            issued.link_code, issued.issued_for, issued.issued_at, issued.not_after,
            issued.adopted,
        ),
    )  # fmt: skip


def by_sha256(db: Connection, sha256: bytes) -> Issued | None:
    """Return the certificate of this fingerprint, None if it is not one of ours."""
    return _one(db, f"SELECT {_COLUMNS} FROM certificates WHERE sha256 = ?", (sha256,))


def link_code_of(db: Connection, sha256: bytes) -> str | None:
    """Return the code of the link by which the certificate was asked for."""
    row = db.execute("SELECT link_code FROM certificates WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else row[0]


def by_transaction(
    db: Connection, transaction_id: str, public_key_sha256: bytes, *, since: int
) -> Issued | None:
    """Return what the same SCEP transaction was given before, if it was after `since`."""
    query = f"""
        SELECT {_COLUMNS}
          FROM certificates
         WHERE transaction_id = ? AND public_key_sha256 = ? AND issued_at >= ?
           AND revoked_at IS NULL
         ORDER BY issued_at DESC
         LIMIT 1
        """
    return _one(db, query, (transaction_id, public_key_sha256, since))


def current_of(db: Connection, enrollment_id: str) -> Issued | None:
    """Return the certificate that the device channel is bound to."""
    query = f"""
        SELECT {_COLUMNS}
          FROM certificates
         WHERE sha256 = (SELECT certificate_sha256 FROM enrollments WHERE id = ?)
        """
    return _one(db, query, (enrollment_id,))


def by_serial(db: Connection, serial: str) -> Issued | None:
    """Return the certificate of this serial number (lower-case hex)."""
    return _one(db, f"SELECT {_COLUMNS} FROM certificates WHERE serial = ?", (serial,))


def bind(db: Connection, sha256: bytes, enrollment_id: str) -> None:
    """Record which enrollment uses the certificate; it can be used by no other."""
    db.execute(
        "UPDATE certificates SET enrollment_id = ? WHERE sha256 = ?", (enrollment_id, sha256)
    )


def revoke(db: Connection, sha256: bytes, *, reason: str, now: int) -> bool:
    """Revoke a certificate; false if it was revoked before."""
    changed = db.execute(
        """
        UPDATE certificates
           SET revoked_at = ?, revocation_reason = ?
         WHERE sha256 = ? AND revoked_at IS NULL
        """,
        (now, reason, sha256),
    ).rowcount
    return bool(changed)


def revoke_unused_for(db: Connection, enrollment_id: str, now: int, *, keep: int = 0) -> None:
    """Revoke what was issued to renew the enrollment's identity and has not come back yet.

    Args:
        keep: so many of them stay good, the last that were issued.
    """
    _revoke_unused(db, "issued_for", enrollment_id, "superseded", now, keep=keep)


def revoke_heirs(db: Connection, enrollment_id: str, now: int, *, but: bytes | None) -> None:
    """Revoke what has come back, and has not taken the place of the identity yet.

    Args:
        but: the SHA-256 of one that stays good.
    """
    db.execute(
        """
        UPDATE certificates
           SET revoked_at = :now, revocation_reason = 'superseded'
         WHERE enrollment_id = :id AND issued_for = :id AND revoked_at IS NULL
           AND sha256 IS NOT :but
           AND rowid > (SELECT used.rowid
                          FROM enrollments AS device
                          JOIN certificates AS used ON used.sha256 = device.certificate_sha256
                         WHERE device.id = :id AND device.state = 'enrolled')
        """,
        {"id": enrollment_id, "now": now, "but": but},
    )


def revoke_unused_of(db: Connection, link_code: str, now: int) -> None:
    """Revoke what was issued by a link and has enrolled nothing yet."""
    _revoke_unused(db, "link_code", link_code, "link", now)


def revoked(db: Connection, now: int) -> list[Revoked]:
    """Return what the revocation list must name: revoked and not expired yet."""
    rows = db.execute(
        """
        SELECT serial, revoked_at
          FROM certificates
         WHERE revoked_at IS NOT NULL AND not_after > ? AND adopted = 0
         ORDER BY revoked_at
        """,
        (now,),
    )
    entries = []
    for serial, at in rows:
        moment = from_ms(at)
        assert moment is not None  # noqa: S101 - the query asks for it
        entries.append(Revoked(serial=serial, revoked_at=moment))
    return entries


def revocations(db: Connection) -> tuple[int, int]:
    """Return what changes with every revocation: their number, and when the last one was."""
    row = db.execute(
        """
        SELECT count(*), coalesce(max(revoked_at), 0)
          FROM certificates
         WHERE revoked_at IS NOT NULL
        """
    ).fetchone()
    return int(row[0]), int(row[1])


def counts(db: Connection, now: int) -> tuple[int, int]:
    """Count the valid certificates and the revoked ones."""
    row = db.execute(
        """
        SELECT count(*) FILTER (WHERE revoked_at IS NULL AND not_after > ?),
               count(*) FILTER (WHERE revoked_at IS NOT NULL)
          FROM certificates
         WHERE adopted = 0
        """,
        (now,),
    ).fetchone()
    return int(row[0]), int(row[1])


def issued_to(db: Connection, enrollment_id: str, *, since: int, until: int) -> int:
    """Count what a device was issued, whether it has come with it or not."""
    row = db.execute(
        """
        SELECT count(*)
          FROM certificates
         WHERE (enrollment_id = :id OR (enrollment_id IS NULL AND issued_for = :id))
           AND issued_at BETWEEN :since AND :until
        """,
        {"id": enrollment_id, "since": since, "until": until},
    ).fetchone()
    return int(row[0])


def is_of_another(db: Connection, enrollment_id: str) -> bool:
    """Tell whether the device has, or will come with, the identity that another server gave it."""
    issued = current_of(db, enrollment_id)
    return issued is None or issued.adopted


def _revoke_unused(
    db: Connection, column: str, value: str, reason: str, now: int, *, keep: int = 0
) -> None:
    # The order is that of the rows, as a clock may have been ahead when one of them was issued.
    db.execute(
        f"""
        UPDATE certificates
           SET revoked_at = :now, revocation_reason = :reason
         WHERE rowid IN (SELECT rowid
                           FROM certificates
                          WHERE enrollment_id IS NULL AND {column} = :value AND revoked_at IS NULL
                          ORDER BY rowid DESC
                          LIMIT -1 OFFSET :keep)
        """,
        {"now": now, "reason": reason, "value": value, "keep": keep},
    )


def _one(db: Connection, query: str, values: tuple[object, ...]) -> Issued | None:
    row = db.execute(query, values).fetchone()
    if row is None:
        return None
    return Issued(
        sha256=bytes(row[0]), serial=row[1], der=bytes(row[2]), public_key_sha256=bytes(row[3]),
        link_code=row[4], issued_for=row[5], enrollment_id=row[6], issued_at=row[7],
        not_after=row[8], revoked_at=row[9], adopted=bool(row[10]),
    )  # fmt: skip
