"""Enrollments: one row per channel, the certificate that owns it, and how to push to it."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import EnrollmentBlocked, NotAuthorized
from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.enrollment import EnrollmentID
from appliance.store.database import Connection

# An enrolled device that is not blocked, `e`; channels of users are not.
MANAGED = "e.device_id IS NULL AND e.state = 'enrolled' AND e.blocked_at IS NULL"
# Of its row in `devices`, `d`: it said that it erases itself, and has not enrolled since.
ERASED = "coalesce(json_extract(d.facts, '$.is_erased'), 0)"

# The hot path: the certificate is looked up on the device channel, which owns its users.
_AUTHORIZE = """
SELECT device.certificate_sha256, device.state, device.blocked_at, certificate.revoked_at,
       device.state, device.last_seen_at
  FROM enrollments AS device
  JOIN certificates AS certificate ON certificate.sha256 = device.certificate_sha256
 WHERE device.id = ?
"""
_AUTHORIZE_USER = """
SELECT device.certificate_sha256, device.state, device.blocked_at, certificate.revoked_at,
       channel.state, channel.last_seen_at
  FROM enrollments AS device
  JOIN certificates AS certificate ON certificate.sha256 = device.certificate_sha256
  LEFT JOIN enrollments AS channel ON channel.id = ?
 WHERE device.id = ?
"""

# Issued to take the place of the identity that the device has, and the device has come with it.
_HEIR = """
SELECT 1
  FROM certificates AS heir
  JOIN enrollments AS device ON device.id = heir.enrollment_id
  JOIN certificates AS current ON current.sha256 = device.certificate_sha256
 WHERE heir.sha256 = :sha256 AND heir.enrollment_id = :id AND heir.issued_for = :id
   AND heir.rowid > current.rowid AND heir.revoked_at IS NULL AND current.revoked_at IS NULL
   AND device.state = 'enrolled'
"""

# Of one device, ended ones too: each is a row, and they end in one transaction.
MOST_USERS = 1000
_SEEN_AGAIN_MS = 1000  # within a session of several commands the row is written once

_COMPLETE = """
INSERT INTO enrollments (id, device_id, type, state, topic, push_token, push_magic,
                         token_update_tally, awaiting_configuration, enrolled_at, last_seen_at)
VALUES (:id, :device_id, :type, 'enrolled', :topic, :token, :magic, 1, :awaiting, :now, :now)
ON CONFLICT (id) DO UPDATE
   SET state = 'enrolled',
       topic = :topic,
       push_token = :token,
       push_magic = :magic,
       token_update_tally = token_update_tally + 1,
       awaiting_configuration = coalesce(:given_awaiting, awaiting_configuration),
       enrolled_at = CASE state WHEN 'enrolled' THEN enrolled_at ELSE :now END,
       ended_at = NULL,
       last_seen_at = :now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What stands in the way of an Authenticate, or does not."""

    id: str
    state: str
    certificate_sha256: bytes | None
    certificate_revoked: bool
    blocked: bool
    reenroll_until: int | None
    authenticated_at: int | None

    def is_known(self) -> bool:
        """Enrolled and not checked out, blocked or forgotten: its identity is protected."""
        return self.state == "enrolled"

    def is_current(self, sha256: bytes) -> bool:
        """Tell whether the certificate is the one of an enrollment that has not ended."""
        return self.certificate_sha256 == sha256 and self.state in ("enrolled", "authenticated")


def authorize(
    db: Connection, enrollment: EnrollmentID, sha256: bytes, *, new_channel: bool = False
) -> int | None:
    """Check that the certificate `sha256` may speak for `enrollment`.

    Returns when the channel was last heard of, None if it is new.

    Args:
        new_channel: true for TokenUpdate, which creates a user channel, and for what a device
            says before it, also with a renewed identity.

    Raises:
        NotAuthorized: another certificate, a revoked one, or an enrollment that has ended.
        EnrollmentBlocked: it is the right certificate, and an administrator blocked it.
    """
    if enrollment.parent_id is None:
        row = db.execute(_AUTHORIZE, (enrollment.id,)).fetchone()
    else:
        row = db.execute(_AUTHORIZE_USER, (enrollment.id, enrollment.parent_id)).fetchone()
    if row is None or (
        row[0] != sha256 and not (new_channel and is_heir(db, enrollment.id, sha256))
    ):
        raise NotAuthorized("the certificate is not bound to this enrollment")
    _, device_state, blocked_at, revoked_at, channel_state, last_seen_at = row
    if blocked_at is not None:
        raise EnrollmentBlocked("an administrator blocked this enrollment")
    if revoked_at is not None:
        raise NotAuthorized("the certificate is revoked")
    if device_state not in ("enrolled", "authenticated"):
        raise NotAuthorized(f"the enrollment has ended: {device_state}")
    if channel_state != "enrolled" and not new_channel:
        raise NotAuthorized("the channel has not sent a TokenUpdate")
    if channel_state is None and _user_channels(db, enrollment.device_id) >= MOST_USERS:
        raise NotAuthorized("the device has too many user channels")
    return None if last_seen_at is None else int(last_seen_at)


def _user_channels(db: Connection, device_id: str) -> int:
    row = db.execute("SELECT count(*) FROM enrollments WHERE device_id = ?", (device_id,))
    return int(row.fetchone()[0])


def authorize_device(db: Connection, enrollment: EnrollmentID, sha256: bytes) -> None:
    """As `authorize`, for what a device may say before its first TokenUpdate as well."""
    authorize(db, enrollment, sha256, new_channel=not enrollment.is_user_channel)


def hear(db: Connection, enrollment: EnrollmentID, sha256: bytes, now: int) -> None:
    """As `authorize`, and record that the channel was heard of."""
    seen = authorize(db, enrollment, sha256)
    # Written also when a clock that was ahead has named a time to come.
    if seen is not None and abs(now - seen) >= _SEEN_AGAIN_MS:
        note_heard(db, enrollment.id, now)


def note_heard(db: Connection, enrollment_id: str, now: int) -> None:
    """Record that the channel was heard of, however soon after the last time."""
    db.execute("UPDATE enrollments SET last_seen_at = ? WHERE id = ?", (now, enrollment_id))


def is_heir(db: Connection, device_id: str, sha256: bytes) -> bool:
    """Tell whether the device is about to have this identity in place of the one that it has."""
    row = db.execute(_HEIR, {"id": device_id, "sha256": sha256}).fetchone()
    return row is not None


def known(db: Connection, enrollment_id: str) -> Known | None:
    """Return what is stored of a device channel, None if it was never seen."""
    row = db.execute(
        """
        SELECT e.state, e.certificate_sha256, e.blocked_at, e.reenroll_until, c.revoked_at,
               e.authenticated_at
          FROM enrollments AS e
          LEFT JOIN certificates AS c ON c.sha256 = e.certificate_sha256
         WHERE e.id = ? AND e.device_id IS NULL
        """,
        (enrollment_id,),
    ).fetchone()
    if row is None:
        return None
    return Known(
        id=enrollment_id,
        state=row[0],
        certificate_sha256=row[1],
        certificate_revoked=row[4] is not None,
        blocked=row[2] is not None,
        reenroll_until=row[3],
        authenticated_at=row[5],
    )


def begin(
    db: Connection, enrollment: EnrollmentID, *, sha256: bytes | None, topic: str, now: int
) -> None:
    """Bind the certificate to the device and put its own channel back to the beginning.

    Args:
        sha256: None for a device that another server enrolled: its certificate is not known yet.
    """
    db.execute(
        """
        INSERT INTO enrollments (id, type, state, certificate_sha256, topic,
                                 authenticated_at, last_seen_at)
        VALUES (:id, :type, 'authenticated', :sha256, :topic, :now, :now)
        ON CONFLICT (id) DO UPDATE
           SET state = 'authenticated', certificate_sha256 = :sha256, topic = :topic,
               push_token = NULL, push_magic = NULL, token_update_tally = 0,
               awaiting_configuration = 0, reenroll_until = NULL, authenticated_at = :now,
               enrolled_at = NULL, ended_at = NULL, last_seen_at = :now
        """,
        {
            "id": enrollment.id, "type": str(enrollment.type), "sha256": sha256,
            "topic": topic, "now": now,
        },
    )  # fmt: skip


def adopt(db: Connection, enrollment_id: str, sha256: bytes) -> None:
    """Give a device that another server enrolled the identity that it has."""
    db.execute(
        "UPDATE enrollments SET certificate_sha256 = ? WHERE id = ?", (sha256, enrollment_id)
    )


def rebind(db: Connection, enrollment_id: str, sha256: bytes, now: int) -> bool:
    """Give an enrolled device its renewed identity; false if it is the one that it has.

    All else stays as it is.
    """
    changed = db.execute(
        """
        UPDATE enrollments
           SET certificate_sha256 = :sha256, authenticated_at = :now, last_seen_at = :now
         WHERE id = :id AND certificate_sha256 <> :sha256
        """,
        {"id": enrollment_id, "sha256": sha256, "now": now},
    ).rowcount
    return bool(changed)


def complete(db: Connection, message: TokenUpdate, now: int) -> int:
    """Store how to push to the channel; return its tally, 1 for a new enrollment."""
    enrollment = message.enrollment
    db.execute(
        _COMPLETE,
        {
            "id": enrollment.id,
            "device_id": enrollment.parent_id,
            "type": str(enrollment.type),
            "topic": message.topic,
            "token": message.token,
            "magic": message.push_magic,
            "awaiting": int(bool(message.awaiting_configuration)),
            "given_awaiting": (
                None
                if message.awaiting_configuration is None
                else int(message.awaiting_configuration)
            ),
            "now": now,
        },
    )
    row = db.execute(
        "SELECT token_update_tally FROM enrollments WHERE id = ?", (enrollment.id,)
    ).fetchone()
    return int(row[0])


def end(db: Connection, enrollment_id: str, *, state: str, now: int) -> None:
    """End a device's own channel: `checked_out` by itself or `forgotten` by us."""
    db.execute(
        """
        UPDATE enrollments
           SET state = ?, push_token = NULL, push_magic = NULL, token_update_tally = 0,
               reenroll_until = NULL, ended_at = ?
         WHERE id = ?
        """,
        (state, now, enrollment_id),
    )


def set_blocked(db: Connection, enrollment_id: str, blocked_at: int | None) -> None:
    """Block a device channel, or lift the block with None."""
    db.execute("UPDATE enrollments SET blocked_at = ? WHERE id = ?", (blocked_at, enrollment_id))


def allow_reenrollment(db: Connection, enrollment_id: str, until: int) -> None:
    """Let the next Authenticate of this device bring a new identity, until then."""
    db.execute("UPDATE enrollments SET reenroll_until = ? WHERE id = ?", (until, enrollment_id))


def channels(db: Connection, device_id: str) -> list[str]:
    """Return the ids of a device channel and of its users' channels."""
    rows = db.execute(
        "SELECT id FROM enrollments WHERE id = :id OR device_id = :id", {"id": device_id}
    )
    return [row[0] for row in rows]


def count_other_topics(db: Connection, topic: str) -> int:
    """Count the enrolled devices that listen to another push topic than this one."""
    row = db.execute(
        """
        SELECT count(*)
          FROM enrollments
         WHERE state = 'enrolled' AND device_id IS NULL AND topic <> ?
        """,
        (topic,),
    ).fetchone()
    return int(row[0])


def end_users(db: Connection, device_id: str, now: int) -> None:
    """End the channels of a device's users, which end with the enrollment of their device."""
    db.execute(
        """
        UPDATE enrollments
           SET state = 'checked_out', push_token = NULL, push_magic = NULL,
               token_update_tally = 0, ended_at = ?
         WHERE device_id = ?
        """,
        (now, device_id),
    )
