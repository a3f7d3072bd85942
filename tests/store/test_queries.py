"""Hot queries use their index: their cost does not grow with the history."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

from appliance.errors import NotAuthorized
from appliance.mdm.command import CommandResult, Status
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import (
    activity,
    certificates,
    command_records,
    commands,
    devices,
    enrollments,
    events,
    exchanges,
    idempotency,
    links,
    one_time_codes,
    overview,
    pushes,
    sessions,
    tokens,
    users,
)
from appliance.store.database import Connection, Database

_SCAN = re.compile(r"\bSCAN\b")


class Recorder:
    """Stands in for a connection and explains every statement before it runs."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.plans: list[str] = []

    def execute(self, sql: str, values: Any = ()) -> Any:
        for row in self._db.execute(f"EXPLAIN QUERY PLAN {sql}", values):
            self.plans.append(row[3])
        return self._db.execute(sql, values)


_PUSH = pushes.DuePush(
    enrollment_id="A", topic=None, token=None, push_magic=None, attempts=0, reminders=0,
    newest_command=1, as_of=1,
)  # fmt: skip

_REPORT = CommandResult(
    enrollment=EnrollmentID("A", None, EnrollmentType.DEVICE), status=Status.ACKNOWLEDGED,
    command_uuid="U", error_chain=(),
)  # fmt: skip


def _hear(db: Connection, enrollment: EnrollmentID) -> None:
    with suppress(NotAuthorized):
        enrollments.hear(db, enrollment, b"1", 1)


def _check(db: Connection) -> None:
    with suppress(NotAuthorized):
        exchanges.check(db, b"1", 1)


_HOT = {
    "next command": lambda db: commands.next_command(db, "A", idle=True, now=1),
    "after NotNow": lambda db: commands.next_command(db, "A", idle=False, now=1),
    "backlog": lambda db: commands.backlog(db, "A", 1),
    "report": lambda db: commands.report(db, _REPORT, b"", 1),
    "told to erase": lambda db: commands.was_told_to_erase(db, "A", since=0),
    "history": lambda db: command_records.history(db, "A", before=9, limit=50, now=1),
    "command by uuid": lambda db: command_records.find(db, "U", 1),
    "command finished": lambda db: commands.finished(db, "U", 1),
    "expiry": lambda db: commands.expire(db, 1),
    "device speaks": lambda db: _hear(db, EnrollmentID("A", None, EnrollmentType.DEVICE)),
    "user speaks": lambda db: _hear(db, EnrollmentID("A:B", "A", EnrollmentType.USER)),
    "device by name": lambda db: devices.find_id(db, "N"),
    "channels": lambda db: enrollments.channels(db, "A"),
    "certificate": lambda db: certificates.by_sha256(db, b"1"),
    "transaction": lambda db: certificates.by_transaction(db, "T", b"1", since=0),
    "push for the backlog": lambda db: pushes.request_for_backlog(db, "A", 1),
    "push accepted": lambda db: pushes.accepted(db, _PUSH, apns_id="X", now=1, remind_at=None),
    "push failed": lambda db: pushes.failed(db, "A", outcome="retry", due_at=2, now=1),
    "push dropped": lambda db: pushes.drop(db, "A", 1),
    "due pushes": lambda db: pushes.due(db, 1, limit=10),
    "token": lambda db: tokens.find(db, "T"),
    "session": lambda db: sessions.find(db, b"1", created_after=0, seen_after=0),
    "user": lambda db: users.find(db, "aki"),
    "sign-in code": lambda db: one_time_codes.take(db, b"1", 1),
    "answer to a repeat": lambda db: idempotency.find(db, "Aki", "k", since=1),
    "answers that are over": lambda db: idempotency.forget(db, before=1),
    "dangers ordered": lambda db: events.dangers_ordered(db, "Aki", since=1),
    "secrets shown": lambda db: events.secrets_shown(db, "Aki", since=1),
    "challenge of an exchange": lambda db: _check(db),
    "exchange of a certificate": lambda db: exchanges.of_certificate(db, b"1"),
    "certificate of an exchange": lambda db: exchanges.issued(db, 1, b"1"),
    "expired exchanges": lambda db: exchanges.forget_expired(db, 1),
    "unused certificates of a device": lambda db: certificates.revoke_unused_for(db, "A", 1),
    "the last of them": lambda db: certificates.revoke_unused_for(db, "A", 1, keep=5),
    "heirs of an identity": lambda db: certificates.revoke_heirs(db, "A", 1, but=b"1"),
    "one of them": lambda db: enrollments.is_heir(db, "A", b"1"),
    "certificates of a device": lambda db: certificates.issued_to(db, "A", since=0, until=1),
    "challenges for a device": lambda db: links.void_challenges_for(db, "A"),
    "expired challenges": lambda db: links.void_expired(db, 1),
}


@pytest.mark.parametrize("name", _HOT)
async def test_a_hot_query_never_scans_a_table(database: Database, name: str) -> None:
    def unit(db: Connection) -> list[str]:
        recorder = Recorder(db)
        _HOT[name](recorder)  # type: ignore[no-untyped-call]
        return recorder.plans

    plans = await database.write(unit)
    assert plans
    assert [plan for plan in plans if _SCAN.search(plan) and "pushes_due" not in plan] == []


# What the overview asks of the tables that grow with the history, and by which index.
_OVERVIEW = {
    "activity": (
        lambda db: activity.read(db, view="attention", before=9, limit=50),
        "SEARCH v USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ),
    "failed": (
        lambda db: overview.commands_failed(db, since=0, limit=3),
        "SEARCH later USING INDEX command_history (enrollment_id=? AND id>?)",
    ),
    "put off": (
        lambda db: overview.commands_put_off(db, before=1, limit=3),
        "SCAN c USING INDEX command_backlog",
    ),
    "queue": (
        lambda db: commands.total_backlog(db, 1),
        "SCAN commands USING INDEX command_backlog",
    ),
    "what expired of the queue": (
        lambda db: commands.total_backlog(db, 1),
        "SEARCH commands USING INDEX command_expiry (expires_at>? AND expires_at<?)",
    ),
}


@pytest.mark.parametrize("name", _OVERVIEW)
async def test_the_overview_does_not_read_the_history(database: Database, name: str) -> None:
    ask, expected = _OVERVIEW[name]

    def unit(db: Connection) -> list[str]:
        recorder = Recorder(db)
        ask(recorder)  # type: ignore[no-untyped-call]
        return recorder.plans

    assert expected in await database.write(unit)


async def test_the_next_command_is_found_in_the_backlog_index(database: Database) -> None:
    values = {"enrollment_id": "A", "idle": True, "now": 1}
    plan = await database.read(
        lambda db: db.execute(f"EXPLAIN QUERY PLAN {commands.NEXT_COMMAND}", values).fetchall()
    )
    assert [row[3] for row in plan] == [
        "SEARCH c USING INDEX command_backlog (enrollment_id=?)",
        "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH s USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
    ]
