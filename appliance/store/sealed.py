"""Every sealed column, for the day when another key takes the place of the one that sealed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.store.database import Connection

# Takes kind, owner and what is sealed; returns it sealed anew.
Reseal = Callable[[str, str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class _Column:
    """`following`: id, kind, owner and content of the first sealed row beyond an id."""

    name: str
    following: str
    update: str


# Kinds and owners are those of the services that seal; a test compares them.
_COLUMNS = (
    _Column(
        "escrow",
        "SELECT id, kind, enrollment_id, sealed FROM escrow WHERE id > ? ORDER BY id LIMIT 1",
        "UPDATE escrow SET sealed = ? WHERE id = ?",
    ),
    _Column(
        "commands",
        """
        SELECT p.command_id, 'command', c.uuid || ':' || c.enrollment_id, p.body
          FROM command_payloads AS p
         CROSS JOIN commands AS c ON c.id = p.command_id
         WHERE p.command_id > ? AND c.sealed = 1 AND p.body <> x''
         ORDER BY p.command_id
         LIMIT 1
        """,
        "UPDATE command_payloads SET body = ? WHERE command_id = ?",
    ),
    _Column(
        "shared_commands",
        """
        SELECT id, 'shared_command', name, body
          FROM shared_payloads AS s
         WHERE id > ?
           AND EXISTS (SELECT 1
                         FROM command_payloads AS p
                         JOIN commands AS c ON c.id = p.command_id
                        WHERE p.shared_id = s.id AND c.sealed = 1)
         ORDER BY id
         LIMIT 1
        """,
        "UPDATE shared_payloads SET body = ? WHERE id = ?",
    ),
    _Column(
        "answers",
        """
        SELECT r.command_id, 'answer', c.uuid || ':' || c.enrollment_id, r.body
          FROM command_results AS r
         CROSS JOIN commands AS c ON c.id = r.command_id
         WHERE r.command_id > ? AND r.sealed = 1
         ORDER BY r.command_id
         LIMIT 1
        """,
        "UPDATE command_results SET body = ? WHERE command_id = ?",
    ),
    _Column(
        "webhooks",
        """
        SELECT rowid, 'webhook', id, sealed
          FROM webhook_receivers
         WHERE rowid > ?
         ORDER BY rowid
         LIMIT 1
        """,
        "UPDATE webhook_receivers SET sealed = ? WHERE rowid = ?",
    ),
    _Column(
        "push_keys",
        """
        SELECT id, 'push_key', 'push_certificate', sealed_key
          FROM push_certificate
         WHERE id > ?
         ORDER BY id
         LIMIT 1
        """,
        "UPDATE push_certificate SET sealed_key = ? WHERE id = ?",
    ),
)


def reseal_all(db: Connection, reseal: Reseal) -> dict[str, int]:
    """Seal every secret anew and return how many there are of each sort.

    One row is in memory at a time. What was sealed before is overwritten with zeros: it must not
    stay in a page that nothing uses, for whoever has the old key.
    """
    db.execute("PRAGMA secure_delete = ON")
    return {column.name: _reseal(db, column, reseal) for column in _COLUMNS}


def _reseal(db: Connection, column: _Column, reseal: Reseal) -> int:
    count, last = 0, 0
    while (row := db.execute(column.following, (last,)).fetchone()) is not None:
        last, kind, owner, content = row
        db.execute(column.update, (reseal(kind, owner, bytes(content)), last))
        count += 1
    return count
