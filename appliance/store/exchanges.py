"""Exchanges: a device shows who it is, and gets an enrollment profile for itself alone.

Over the air it begins with a challenge, then comes an identity that is for the exchange only.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import NotAuthorized
from appliance.store.database import Connection
from appliance.store.links import refuse_void

_COLUMNS = "id, link_code, udid, serial_number, proven, expires_at, finished_at, identity_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is stored of one, once the device has said who it is."""

    id: int
    link_code: str
    udid: str
    serial_number: str
    proven: bool
    expires_at: int
    finished: bool
    identity_sha256: bytes | None

    def is_with(self, udid: str, serial_number: str | None) -> bool:
        """Tell whether this is the device."""
        return (udid, serial_number) == (self.udid, self.serial_number)


def begin(db: Connection, challenge: bytes, *, link_code: str, now: int, expires_at: int) -> None:
    """Store the hash of a challenge that a device is to sign."""
    db.execute(
        """
        INSERT INTO exchanges (link_code, challenge, created_at, expires_at)
        VALUES (?, ?, ?, ?)
        """,
        (link_code, challenge, now, expires_at),
    )


def check(db: Connection, challenge: bytes, now: int) -> str:
    """Return the link of a challenge that can be used now; nothing is changed.

    Raises:
        NotAuthorized: it is unknown, used or expired, or its link is used up or revoked.
    """
    row = db.execute(
        """
        SELECT x.link_code, x.created_at, x.identified_at, l.revoked_at, l.uses - l.used
          FROM exchanges AS x
          JOIN enrollment_links AS l ON l.code = x.link_code
         WHERE x.challenge = ? AND x.expires_at > ?
        """,
        (challenge, now),
    ).fetchone()
    if row is None:
        raise NotAuthorized("the challenge is unknown or expired")
    link_code, created_at, identified_at, revoked_at, left = row
    link_is_over = revoked_at is not None or left <= 0
    refuse_void(now, created_at=created_at, used_at=identified_at, link_is_over=link_is_over)
    return str(link_code)


def identify(
    db: Connection, challenge: bytes, *, udid: str, serial_number: str, proven: bool, now: int
) -> Exchange:
    """Use the challenge up and store who answered it; raises as `check`."""
    check(db, challenge, now)
    row = db.execute(
        f"""
        UPDATE exchanges
           SET udid = ?, serial_number = ?, proven = ?, identified_at = ?
         WHERE challenge = ?
        RETURNING {_COLUMNS}
        """,
        (udid, serial_number, int(proven), now, challenge),
    ).fetchone()
    return _exchange(row)


def add_identified(
    db: Connection,
    *,
    link_code: str,
    udid: str,
    serial_number: str,
    now: int,
    expires_at: int,
) -> int:
    """Store one that is over with a single message, which proves nothing; return its id."""
    row = db.execute(
        """
        INSERT INTO exchanges (link_code, created_at, expires_at, identified_at, udid,
                               serial_number, finished_at)
        VALUES (:link, :now, :expires_at, :now, :udid, :serial, :now)
        RETURNING id
        """,
        {
            "link": link_code, "now": now, "expires_at": expires_at, "udid": udid,
            "serial": serial_number,
        },
    ).fetchone()  # fmt: skip
    return int(row[0])


def of_certificate(db: Connection, sha256: bytes) -> Exchange | None:
    """Return the exchange that a certificate was issued in, as its identity or the device's."""
    row = db.execute(
        f"""
        SELECT {_COLUMNS} FROM exchanges WHERE identity_sha256 = :sha256
         UNION ALL
        SELECT {_COLUMNS} FROM exchanges WHERE device_sha256 = :sha256
        """,
        {"sha256": sha256},
    ).fetchone()
    return None if row is None else _exchange(row)


def issued(db: Connection, exchange_id: int, sha256: bytes) -> None:
    """Record a certificate: the device's once its profile was given, the exchange's before."""
    db.execute(
        """
        UPDATE exchanges
           SET identity_sha256 = iif(finished_at IS NULL, :sha256, identity_sha256),
               device_sha256 = iif(finished_at IS NULL, device_sha256, :sha256)
         WHERE id = :id
        """,
        {"sha256": sha256, "id": exchange_id},
    )


def finish(db: Connection, exchange_id: int, now: int, *, expires_at: int) -> None:
    """Record that the enrollment profile was given, with a challenge until `expires_at`."""
    db.execute(
        "UPDATE exchanges SET finished_at = ?, expires_at = ? WHERE id = ?",
        (now, expires_at, exchange_id),
    )


def forget_expired(db: Connection, now: int) -> None:
    """Delete those that have led to no certificate; the others say what theirs is good for.

    An identity that has not come back in time is revoked: it was for the exchange alone.
    """
    db.execute(
        """
        UPDATE certificates
           SET revoked_at = :now, revocation_reason = 'exchange'
         WHERE revoked_at IS NULL
           AND sha256 IN (SELECT identity_sha256
                            FROM exchanges
                           WHERE expires_at <= :now AND finished_at IS NULL)
        """,
        {"now": now},
    )
    db.execute(
        """
        DELETE FROM exchanges
         WHERE expires_at <= ? AND identity_sha256 IS NULL AND device_sha256 IS NULL
        """,
        (now,),
    )


def _exchange(row: tuple[int, str, str, str, int, int, int | None, bytes | None]) -> Exchange:
    return Exchange(
        id=row[0], link_code=row[1], udid=row[2], serial_number=row[3], proven=bool(row[4]),
        expires_at=row[5], finished=row[6] is not None, identity_sha256=row[7],
    )  # fmt: skip
