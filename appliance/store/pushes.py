"""Pushes: at most one pending per channel, and what became of the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.store.database import Connection
from appliance.store.holding import UNTIL_RELEASED

_SPACING_MS = 10_000

# When the first of the held commands is released, NULL if none is, or only by an administrator.
_RELEASE = f"""
(SELECT min(not_before) FROM commands
  WHERE enrollment_id = :id AND finished_at IS NULL
    AND not_before > :now AND not_before <> {UNTIL_RELEASED})
"""

_DUE = """
SELECT p.enrollment_id, e.topic, e.push_token, e.push_magic, p.attempts, p.reminders,
       (SELECT max(c.id) FROM commands AS c
         WHERE c.enrollment_id = p.enrollment_id AND c.finished_at IS NULL
           AND (c.expires_at IS NULL OR c.expires_at > :now)
           AND (c.not_before IS NULL OR c.not_before <= :now)),
       :now
  FROM pushes AS p
  JOIN enrollments AS e ON e.id = p.enrollment_id
 WHERE e.state = 'enrolled' AND e.blocked_at IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePush:
    """A channel that is to be woken now."""

    enrollment_id: str
    topic: str | None
    token: bytes | None
    push_magic: str | None
    attempts: int
    reminders: int
    newest_command: int | None  # the last one that this push announces; None: nothing waits
    as_of: int  # what was held then is not announced


def request(db: Connection, enrollment_id: str, now: int) -> None:
    """Ask for a push now; one that is pending already is only brought forward.

    A push that Apple accepted a moment ago and whose commands the device has not fetched yet
    announces the new one as well: APNs keeps one a device, and bursts give nothing.
    """
    db.execute(
        """
        INSERT INTO pushes (enrollment_id, due_at)
        VALUES (:id, :now)
        ON CONFLICT (enrollment_id) DO UPDATE
           SET reminders = 0,
               due_at = CASE
                   WHEN sent_at BETWEEN :now - :spacing AND :now
                    AND EXISTS (SELECT 1 FROM commands
                                 WHERE enrollment_id = :id AND finished_at IS NULL
                                   AND pushed_at >= sent_at AND connected_at IS NULL)
                   THEN min(coalesce(due_at, sent_at + :spacing), sent_at + :spacing)
                   ELSE min(coalesce(due_at, :now), :now)
               END
        """,
        {"id": enrollment_id, "now": now, "spacing": _SPACING_MS},
    )


def request_for_backlog(db: Connection, enrollment_id: str, now: int) -> None:
    """Ask for a push when the first of the waiting commands may be handed out, if any waits."""
    (waiting,) = db.execute(
        """
        SELECT min(coalesce(not_before, 0))
          FROM commands
         WHERE enrollment_id = :id AND finished_at IS NULL
           AND (expires_at IS NULL OR expires_at > :now)
           AND (not_before IS NULL OR not_before <> :until_released)
        """,
        {"id": enrollment_id, "now": now, "until_released": UNTIL_RELEASED},
    ).fetchone()
    if waiting is None:
        return
    if waiting <= now:
        request(db, enrollment_id, now)
    else:
        request_at(db, enrollment_id, waiting)


def request_at(db: Connection, enrollment_id: str, moment: int) -> None:
    """Ask for a push at a moment to come, when a held command is released."""
    db.execute(
        """
        INSERT INTO pushes (enrollment_id, due_at)
        VALUES (:id, :moment)
        ON CONFLICT (enrollment_id) DO UPDATE
           SET reminders = 0, due_at = min(coalesce(due_at, :moment), :moment)
        """,
        {"id": enrollment_id, "moment": moment},
    )


def bring_forward(db: Connection, *, now: int, latest: int) -> None:
    """Make due now what is put off beyond `latest`: the clock was ahead when that was decided."""
    db.execute("UPDATE pushes SET due_at = ? WHERE due_at > ?", (now, latest))


def reset(db: Connection, enrollment_id: str) -> None:
    """A TokenUpdate arrived: earlier refusals of its old token no longer count."""
    db.execute(
        "UPDATE pushes SET refused_at = NULL, attempts = 0 WHERE enrollment_id = ?",
        (enrollment_id,),
    )


def due(db: Connection, now: int, *, limit: int) -> list[DuePush]:
    """Return the channels whose push is due; if there are more, the newest and the oldest.

    So a command for one device does not wait behind those for a fleet, and none waits for ever.
    """
    due = f"{_DUE} AND p.due_at <= :now AND p.due_at IS NOT NULL AND p.refused_at IS NULL"
    values = {"now": now, "limit": limit}
    oldest = db.execute(f"{due} ORDER BY p.due_at LIMIT :limit", values).fetchall()
    if len(oldest) < limit:
        return [_due_push(row) for row in oldest]
    values["limit"] = limit // 2
    newest = db.execute(f"{due} ORDER BY p.due_at DESC LIMIT :limit", values).fetchall()
    names = {row[0] for row in newest}
    older = [row for row in oldest if row[0] not in names]
    return [_due_push(row) for row in (newest + older)[:limit]]


def one(db: Connection, enrollment_id: str, now: int) -> DuePush | None:
    """Return one channel, due or refused or not; None if it cannot be pushed to."""
    row = db.execute(
        f"{_DUE} AND p.enrollment_id = :id AND e.push_token IS NOT NULL",
        {"now": now, "id": enrollment_id},
    ).fetchone()
    return None if row is None else _due_push(row)


def next_due(db: Connection) -> int | None:
    """Return when the next push is due, None if nothing is pending."""
    row = db.execute(
        """
        SELECT p.due_at
          FROM pushes AS p
          JOIN enrollments AS e ON e.id = p.enrollment_id
         WHERE p.due_at IS NOT NULL AND p.refused_at IS NULL
           AND e.state = 'enrolled' AND e.blocked_at IS NULL
         ORDER BY p.due_at
         LIMIT 1
        """
    ).fetchone()
    return None if row is None else int(row[0])


def accepted(
    db: Connection, push: DuePush, *, apns_id: str, now: int, remind_at: int | None
) -> list[tuple[str, str]]:
    """Apple took it; ask again at `remind_at` if the device has not answered by then.

    A command that was queued while the push was on its way is announced by the next one, now;
    a held one when it is released.
    Returns UUID and request type of the commands that are announced for the first time.
    """
    values = {
        "id": push.enrollment_id, "newest": push.newest_command or 0, "as_of": push.as_of,
        "now": now,
    }  # fmt: skip
    announced = db.execute(
        """
        UPDATE commands
           SET pushed_at = :now
         WHERE enrollment_id = :id AND finished_at IS NULL AND pushed_at IS NULL
           AND id <= :newest AND (not_before IS NULL OR not_before <= :as_of)
        RETURNING uuid, request_type
        """,
        values,
    ).fetchall()
    (later,) = db.execute(
        """
        SELECT min(max(coalesce(not_before, 0), :now))
          FROM commands
         WHERE enrollment_id = :id AND finished_at IS NULL AND connected_at IS NULL
           AND (id > :newest OR not_before > :as_of)
           AND (not_before IS NULL OR not_before <> :until_released)
        """,
        {**values, "until_released": UNTIL_RELEASED},
    ).fetchone()
    due = [moment for moment in (later, remind_at) if moment is not None]
    db.execute(
        """
        UPDATE pushes
           SET due_at = ?, attempts = 0, reminders = reminders + 1, sent_at = ?,
               outcome = 'accepted', apns_id = ?, refused_at = NULL
         WHERE enrollment_id = ?
        """,
        (min(due, default=None), now, apns_id, push.enrollment_id),
    )
    return announced


def failed(db: Connection, enrollment_id: str, *, outcome: str, due_at: int, now: int) -> None:
    """It did not get through; try again at `due_at`, or when a held command is released."""
    db.execute(
        f"""
        UPDATE pushes
           SET due_at = min(:due_at, coalesce({_RELEASE}, :due_at)), attempts = attempts + 1,
               outcome = :outcome
         WHERE enrollment_id = :id
        """,
        {"id": enrollment_id, "due_at": due_at, "outcome": outcome, "now": now},
    )


def retry_now(db: Connection, now: int) -> None:
    """Try again at once what did not get through or was refused: the reason may be gone."""
    db.execute(
        """
        UPDATE pushes
           SET due_at = :now, refused_at = NULL
         WHERE refused_at IS NOT NULL OR (due_at > :now AND attempts > 0)
        """,
        {"now": now},
    )


def refused(db: Connection, push: DuePush, *, outcome: str, now: int) -> None:
    """Apple refuses it: no push until the device sends a TokenUpdate, or `retry_now`.

    One that arrived meanwhile brought another token, of which the refusal says nothing.
    """
    db.execute(
        """
        UPDATE pushes
           SET due_at = NULL, refused_at = :now, outcome = :outcome
         WHERE enrollment_id = :id
           AND (SELECT push_token FROM enrollments WHERE id = :id) IS :token
        """,
        {"id": push.enrollment_id, "now": now, "outcome": outcome, "token": push.token},
    )


def drop(db: Connection, enrollment_id: str, now: int) -> None:
    """Forget the pending push, unless a command waits that was queued meanwhile.

    What is held keeps its push, at its time.
    """
    db.execute(
        f"""
        UPDATE pushes
           SET due_at = {_RELEASE}, reminders = 0
         WHERE enrollment_id = :id
           AND NOT EXISTS (SELECT 1 FROM commands
                            WHERE enrollment_id = :id AND finished_at IS NULL
                              AND (expires_at IS NULL OR expires_at > :now)
                              AND (not_before IS NULL OR not_before <= :now))
        """,
        {"id": enrollment_id, "now": now},
    )


def _due_push(row: tuple[Any, ...]) -> DuePush:
    return DuePush(
        enrollment_id=row[0], topic=row[1],
        token=None if row[2] is None else bytes(row[2]), push_magic=row[3],
        attempts=row[4], reminders=row[5], newest_command=row[6], as_of=row[7],
    )  # fmt: skip
