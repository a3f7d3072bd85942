"""Payloads: what commands say, each beside its command, or once for all commands of an order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from appliance.store.database import Connection

# Of `commands AS c`: its payload, and the name of the shared one if it is that.
COLUMNS = "coalesce(s.body, p.body), s.name"
JOINED = """
  JOIN command_payloads AS p ON p.command_id = c.id
  LEFT JOIN shared_payloads AS s ON s.id = p.shared_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A command as it is stored: sealed or not, and under which name if it is shared.

    `body` is an XML plist, if shared without its CommandUUID; empty once a sealed one is over.
    """

    body: bytes = field(repr=False)
    sealed: bool
    shared: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPayload:
    """What all commands of one order say; `name` is like no other."""

    name: str
    body: bytes = field(repr=False)


def find(db: Connection, uuid: str, enrollment_id: str) -> Payload | None:
    """Return a command as it was queued for one channel."""
    row = db.execute(
        f"""
        SELECT {COLUMNS}, c.sealed
          FROM commands AS c
          {JOINED}
         WHERE c.uuid = ? AND c.enrollment_id = ?
        """,
        (uuid, enrollment_id),
    ).fetchone()
    return None if row is None else Payload(body=row[0], sealed=bool(row[2]), shared=row[1])


def add(db: Connection, rows: Sequence[tuple[str, str, bytes]]) -> None:
    """Store what commands say, each with a payload of its own: UUID, channel, payload."""
    db.executemany(
        """
        INSERT INTO command_payloads (command_id, body)
        SELECT id, ?3 FROM commands WHERE uuid = ?1 AND enrollment_id = ?2
        """,
        rows,
    )


def share(db: Connection, payload: SharedPayload, rows: Sequence[tuple[str, str]]) -> None:
    """Store once what these commands say: UUID, channel."""
    (shared_id,) = db.execute(
        "INSERT INTO shared_payloads (name, body) VALUES (?, ?) RETURNING id",
        (payload.name, payload.body),
    ).fetchone()
    db.executemany(
        """
        INSERT INTO command_payloads (command_id, body, shared_id)
        SELECT id, x'', ?3 FROM commands WHERE uuid = ?1 AND enrollment_id = ?2
        """,
        [(uuid, enrollment_id, shared_id) for uuid, enrollment_id in rows],
    )


def forget(db: Connection, command_ids: Iterable[int]) -> None:
    """Keep no copy of what these commands say; a shared one goes with the last of its commands."""
    for command_id in command_ids:
        (shared_id,) = db.execute(
            "SELECT shared_id FROM command_payloads WHERE command_id = ?", (command_id,)
        ).fetchone()
        db.execute(
            "UPDATE command_payloads SET body = x'', shared_id = NULL WHERE command_id = ?",
            (command_id,),
        )
        if shared_id is not None:
            db.execute(
                """
                DELETE FROM shared_payloads
                 WHERE id = ?1
                   AND NOT EXISTS (SELECT 1 FROM command_payloads WHERE shared_id = ?1)
                """,
                (shared_id,),
            )
