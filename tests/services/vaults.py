"""A store full of sealed secrets, and whether they can still be opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from appliance.errors import BadSignature
from appliance.services.vault import Vault

_ROWS = """
SELECT 'escrow', kind, enrollment_id, sealed FROM escrow
 UNION ALL
SELECT 'commands', 'command', uuid || ':' || enrollment_id, body
  FROM command_payloads AS p JOIN commands AS c ON c.id = p.command_id
 WHERE c.sealed = 1 AND body <> x''
 UNION ALL
SELECT 'shared_commands', 'shared_command', name, body FROM shared_payloads WHERE name <> 'plain'
 UNION ALL
SELECT 'answers', 'answer', uuid || ':' || enrollment_id, body
  FROM command_results AS r JOIN commands AS c ON c.id = r.command_id WHERE r.sealed = 1
 UNION ALL
SELECT 'webhooks', 'webhook', id, sealed FROM webhook_receivers
 UNION ALL
SELECT 'push_keys', 'push_key', 'push_certificate', sealed_key FROM push_certificate
"""

SORTS = ("escrow", "commands", "shared_commands", "answers", "webhooks", "push_keys")

# UUID, whether sealed, when finished.
_COMMANDS = (
    ("waits", 1, None), ("over", 1, 1), ("plain", 0, None), ("together", 1, None),
    ("plainly", 0, None),
)  # fmt: skip


def fill(data: Path, devices: int) -> dict[str, int]:
    """Give each device secrets of every sort, and what must stay as it is beside them.

    Returns how many there are of each sort.
    """
    vault = Vault((data / "keys" / "vault.key").read_bytes())
    names = [f"device-{number}" for number in range(devices)]

    def sealed(kind: str, owner: str) -> bytes:
        return vault.seal(kind, owner, _secret(kind, owner))

    with closing(sqlite3.connect(data / "appliance.db")) as db, db:
        db.executemany(
            "INSERT INTO enrollments (id, type, state, last_seen_at) VALUES (?, 'device', ?, 1)",
            [(name, "enrolled") for name in names],
        )
        for kind, archived in (("unlock_token", None), ("unlock_token", 1), ("bootstrap_token", 1)):
            db.executemany(
                """
                INSERT INTO escrow (enrollment_id, kind, sealed, stored_at, archived_at)
                VALUES (?, ?, ?, 1, ?)
                """,
                [(name, kind, sealed(kind, name), archived) for name in names],
            )
        for uuid, is_sealed, finished in _COMMANDS:
            status = "acknowledged" if finished else "queued"
            db.executemany(
                """
                INSERT INTO commands (uuid, enrollment_id, request_type, sealed, status,
                                      finished_at, queued_at)
                VALUES (?, ?, 'DeviceLock', ?, ?, ?, 1)
                """,
                [(uuid, name, is_sealed, status, finished) for name in names],
            )
        secret = sealed("shared_command", "all")
        db.execute("INSERT INTO shared_payloads VALUES (1, 'all', ?)", (secret,))
        db.execute("INSERT INTO shared_payloads VALUES (2, 'plain', CAST('<plist/>' AS BLOB))")
        queued = db.execute("SELECT id, uuid, enrollment_id FROM commands").fetchall()
        for row, uuid, name in queued:
            body = b"<plist/>" if uuid == "plain" else b""
            if uuid == "waits":
                body = sealed("command", f"{uuid}:{name}")
            shared = {"together": 1, "plainly": 2}.get(uuid)
            db.execute("INSERT INTO command_payloads VALUES (?, ?, ?)", (row, body, shared))
        db.executemany(
            "INSERT INTO command_results (command_id, body, sealed) VALUES (?, ?, 1)",
            [
                (row, sealed("answer", f"{uuid}:{name}"))
                for row, uuid, name in queued
                if uuid == "over"
            ],
        )
        for name in ("first", "second"):
            row = (name, sealed("webhook", name))
            db.execute("INSERT INTO webhook_receivers VALUES (?, ?, 1)", row)
        key = sealed("push_key", "push_certificate")
        db.execute("INSERT INTO push_certificate VALUES (1, 'topic', 'PEM', ?, 1, '', 1)", (key,))
        db.execute("INSERT INTO idempotency_keys VALUES ('Aki', 'k', x'01', '{}', 1)")
    return {
        "escrow": 3 * devices, "commands": devices, "shared_commands": 1, "answers": devices,
        "webhooks": 2, "push_keys": 1,
    }  # fmt: skip


def opened(data: Path, key: bytes | None = None) -> dict[str, int]:
    """How many secrets of each sort `key`, or else `vault.key`, opens; the others have a 0."""
    vault = Vault(key or (data / "keys" / "vault.key").read_bytes())
    counts = dict.fromkeys(SORTS, 0)
    for sort, kind, owner, content in _rows(data):
        try:
            secret = vault.open(kind, owner, content)
        except BadSignature:
            continue
        assert secret == _secret(kind, owner)
        counts[sort] += 1
    return counts


def contents(data: Path) -> list[bytes]:
    """All that is sealed, as it is stored."""
    return [content for *_, content in _rows(data)]


def _rows(data: Path) -> Iterator[tuple[str, str, str, bytes]]:
    with closing(sqlite3.connect(data / "appliance.db")) as db:
        yield from db.execute(_ROWS)


def _secret(kind: str, owner: str) -> bytes:
    return f"the secret {kind} of {owner}".encode()
