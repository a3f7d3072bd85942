"""The push certificate: one row, its key sealed."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPushCertificate:
    """What is stored; `certificate` is PEM, times are Unix milliseconds."""

    topic: str
    certificate: str
    sealed_key: bytes
    not_after: int
    account: str
    imported_at: int


def put(db: Connection, stored: StoredPushCertificate) -> None:
    """Store it in place of the earlier one."""
    db.execute(
        """
        INSERT OR REPLACE INTO push_certificate
               (id, topic, certificate, sealed_key, not_after, account, imported_at)
        VALUES (1, ?, ?, ?, ?, ?, ?)
        """,
        (
            stored.topic, stored.certificate, stored.sealed_key, stored.not_after,
            stored.account, stored.imported_at,
        ),
    )  # fmt: skip


def get(db: Connection) -> StoredPushCertificate | None:
    """Return the push certificate, None before the first import."""
    row = db.execute(
        """
        SELECT topic, certificate, sealed_key, not_after, account, imported_at
          FROM push_certificate
        """
    ).fetchone()
    if row is None:
        return None
    return StoredPushCertificate(
        topic=row[0], certificate=row[1], sealed_key=bytes(row[2]), not_after=row[3],
        account=row[4], imported_at=row[5],
    )  # fmt: skip
