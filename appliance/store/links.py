"""Enrollment links and the one-time SCEP challenges that their profiles carry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from appliance.errors import NotAuthorized, NotFound
from appliance.store.database import Connection, from_ms

_CLOCK_MAY_STEP_BACK_MS = 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentLink:
    """A link that lets `uses` devices enroll until `expires_at`."""

    code: str
    label: str
    uses: int
    used: int
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    state: str  # open, used_up, expired, revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a challenge is bound to."""

    link_code: str | None
    issued_for: str | None
    exchange_id: int | None = None


def reference(code: str) -> str:
    """Return what stands for a link where its code, which is a secret, may not."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def add(db: Connection, code: str, *, label: str, uses: int, now: int, expires_at: int) -> None:
    """Store a new link."""
    db.execute(
        """
        INSERT INTO enrollment_links (code, label, uses, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?)
        """,
        (code, label, uses, now, expires_at),
    )


def get(db: Connection, code: str, now: int) -> EnrollmentLink:
    """Return the link.

    Raises:
        NotFound: there never was such a link.
    """
    row = db.execute(
        """
        SELECT code, label, uses, used, created_at, expires_at, revoked_at
          FROM enrollment_links
         WHERE code = ?
        """,
        (code,),
    ).fetchone()
    if row is None:
        raise NotFound("enrollment_link", code)
    return _link(row, now)


def by_reference(db: Connection, name: str, now: int) -> EnrollmentLink | None:
    """Return the link that a reference stands for; links are few, so all are looked at."""
    for (code,) in db.execute("SELECT code FROM enrollment_links"):
        if reference(code) == name:
            return get(db, code, now)
    return None


def all_links(
    db: Connection, now: int, *, after: str | None = None, limit: int = 1000
) -> list[EnrollmentLink]:
    """Return the newest links, or those that follow the link with the code `after`."""
    rows = db.execute(
        """
        SELECT code, label, uses, used, created_at, expires_at, revoked_at
          FROM enrollment_links
         WHERE :after IS NULL
            OR (-created_at, code) > (SELECT -created_at, code FROM enrollment_links
                                       WHERE code = :after)
         ORDER BY created_at DESC, code
         LIMIT :limit
        """,
        {"after": after, "limit": limit},
    )
    return [_link(row, now) for row in rows]


def revoke(db: Connection, code: str, now: int) -> None:
    """Revoke a link: no profile and no certificate comes of it any more."""
    db.execute(
        "UPDATE enrollment_links SET revoked_at = coalesce(revoked_at, ?) WHERE code = ?",
        (now, code),
    )


def add_challenge(
    db: Connection,
    sha256: bytes,
    *,
    link_code: str | None,
    issued_for: str | None,
    now: int,
    expires_at: int,
    exchange_id: int | None = None,
) -> None:
    """Store the hash of a fresh challenge, bound to its link, to a device or to an exchange."""
    db.execute(
        """
        INSERT INTO challenges (sha256, link_code, issued_for, created_at, expires_at, exchange_id)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        (sha256, link_code, issued_for, now, expires_at, exchange_id),
    )


def check_challenge(db: Connection, sha256: bytes, now: int) -> Challenge:
    """Return what a challenge is bound to, if it can be used now; nothing is consumed.

    Raises:
        NotAuthorized: unknown, used, expired, or its link is used up or revoked.
    """
    row = db.execute(
        """
        SELECT c.link_code, c.issued_for, c.created_at, c.used_at, l.revoked_at, l.uses - l.used,
               c.exchange_id
          FROM challenges AS c
          LEFT JOIN enrollment_links AS l ON l.code = c.link_code
         WHERE c.sha256 = ? AND c.expires_at > ?
        """,
        (sha256, now),
    ).fetchone()
    if row is None:
        raise NotAuthorized("the challenge is unknown or expired")
    link_code, issued_for, created_at, used_at, revoked_at, left, exchange_id = row
    link_is_over = link_code is not None and (revoked_at is not None or left <= 0)
    refuse_void(now, created_at=created_at, used_at=used_at, link_is_over=link_is_over)
    return Challenge(link_code=link_code, issued_for=issued_for, exchange_id=exchange_id)


def refuse_void(now: int, *, created_at: int, used_at: int | None, link_is_over: bool) -> None:
    """Refuse a challenge that has not expired and still cannot be used; raises NotAuthorized."""
    if used_at is not None:
        raise NotAuthorized("the challenge was used before")
    if now < created_at - _CLOCK_MAY_STEP_BACK_MS:
        raise NotAuthorized("the clock was set back to before the challenge was made")
    if link_is_over:
        raise NotAuthorized("the enrollment link is used up or revoked")


def consume_challenge(db: Connection, sha256: bytes, now: int) -> Challenge:
    """Use a challenge up, and count a use of its link; raises as `check_challenge`."""
    challenge = check_challenge(db, sha256, now)
    db.execute("UPDATE challenges SET used_at = ? WHERE sha256 = ?", (now, sha256))
    if challenge.link_code is not None:
        db.execute(
            "UPDATE enrollment_links SET used = used + 1 WHERE code = ?", (challenge.link_code,)
        )
    return challenge


def void_challenges_for(db: Connection, enrollment_id: str) -> None:
    """Delete the challenges by which the enrollment's identity could still be renewed."""
    db.execute("DELETE FROM challenges WHERE issued_for = ?", (enrollment_id,))


def link_of(db: Connection, sha256: bytes) -> str | None:
    """Return the code of the link that a challenge came of, whatever became of it; None: none."""
    row = db.execute("SELECT link_code FROM challenges WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else row[0]


def void_expired(db: Connection, now: int) -> int:
    """Delete what expired: a clock that is set back later cannot revive it."""
    return db.execute("DELETE FROM challenges WHERE expires_at <= ?", (now,)).rowcount


def _link(row: tuple[str, str, int, int, int, int, int | None], now: int) -> EnrollmentLink:
    code, label, uses, used, created_at, expires_at, revoked_at = row
    if revoked_at is not None:
        state = "revoked"
    elif used >= uses:
        state = "used_up"
    elif expires_at <= now:
        state = "expired"
    else:
        state = "open"
    return EnrollmentLink(
        code=code, label=label, uses=uses, used=used, created_at=from_ms(created_at),
        expires_at=from_ms(expires_at), revoked_at=from_ms(revoked_at), state=state,
    )  # fmt: skip
