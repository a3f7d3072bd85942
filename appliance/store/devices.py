"""Devices: what is known of each, and the lists that people read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from appliance.errors import Conflict, NotFound
from appliance.mdm.device import DeviceFacts
from appliance.store.database import Connection, from_ms
from appliance.store.enrollments import ERASED

_LONGEST_ANSWER = 512 * 1024  # of JSON; they are tens of kilobytes
_LONGEST_SERIAL_NUMBER = 14  # of Apple's; no UDID is as short


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One channel as the API shows it; `id` is the enrollment ID."""

    id: str
    channel: str  # device or user
    type: str
    parent_id: str | None
    serial_number: str | None
    udid: str | None
    name: str | None
    model: str | None
    os_version: str | None
    enrolled: bool
    state: str  # enrolled, authenticated, checked_out, forgotten, blocked
    erased: bool  # it was, and its state waits for it to enroll anew
    last_seen: datetime | None
    enrolled_at: datetime | None
    queue_depth: int
    token_update_tally: int
    awaiting_configuration: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDetails:
    """A device with the whole of its last answers."""

    device: Device
    facts: DeviceFacts
    information: dict[str, Any] | None
    information_at: datetime | None
    security: dict[str, Any] | None
    security_at: datetime | None
    push_outcome: str | None
    push_sent_at: datetime | None
    certificate_serial: str | None
    certificate_not_after: datetime | None


# The answers that are kept beside the facts; each is a column.
Answer: TypeAlias = Literal["information", "security"]

_FACTS = msgspec.json.Decoder(DeviceFacts)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

# What has expired waits for nothing but to be closed, which is done once a minute.
_SUMMARY = f"""
SELECT e.id, e.device_id, e.type, e.state, e.blocked_at, e.last_seen_at, e.enrolled_at,
       d.serial_number, d.udid, d.name, d.model, d.os_version,
       (SELECT count(*) FROM commands AS c
         WHERE c.enrollment_id = e.id AND c.finished_at IS NULL
           AND (c.expires_at IS NULL OR c.expires_at > strftime('%s', 'now') * 1000)),
       e.token_update_tally, e.awaiting_configuration,
       {ERASED}
  FROM enrollments AS e
  LEFT JOIN devices AS d ON d.enrollment_id = e.id
"""


def put_facts(db: Connection, enrollment_id: str, facts: DeviceFacts) -> None:
    """Store what is known of the device now."""
    db.execute(
        """
        INSERT INTO devices (enrollment_id, serial_number, udid, name, model, os_version, facts)
        VALUES (:id, :serial, :udid, :name, :model, :os, :facts)
        ON CONFLICT (enrollment_id) DO UPDATE
           SET serial_number = :serial, udid = :udid, name = :name, model = :model,
               os_version = :os, facts = :facts
        """,
        {
            "id": enrollment_id,
            "serial": facts.serial_number,
            "udid": facts.udid,
            "name": facts.name,
            "model": facts.model_name or facts.product_name or facts.model,
            "os": facts.os_version,
            "facts": _encode(facts).decode(),
        },
    )


def facts(db: Connection, enrollment_id: str) -> DeviceFacts | None:
    """Return what is known of the device."""
    row = db.execute(
        "SELECT facts FROM devices WHERE enrollment_id = ?", (enrollment_id,)
    ).fetchone()
    return None if row is None else _FACTS.decode(row[0])


def answered(
    db: Connection, enrollment_id: str, answer: Answer
) -> tuple[DeviceFacts, dict[str, Any]] | None:
    """Return what is known of the device, and what its earlier answers of this kind said."""
    row = db.execute(
        f"SELECT facts, {answer} FROM devices WHERE enrollment_id = ?", (enrollment_id,)
    ).fetchone()
    if row is None:
        return None
    return _FACTS.decode(row[0]), _decode(row[1]) if row[1] else {}


def put_answer(
    db: Connection,
    enrollment_id: str,
    answer: Answer,
    said: dict[str, Any],
    news: dict[str, Any],
    now: int,
) -> None:
    """Store what the device's answers of one kind have said, earlier ones and the last.

    Of a device that says very much, the last one alone, or nothing: it stands with its command.
    """
    text = _encode(said | news)
    if len(text) > _LONGEST_ANSWER:
        text = _encode(news)
    if len(text) > _LONGEST_ANSWER:
        text = b"{}"
    db.execute(
        f"UPDATE devices SET {answer} = ?, {answer}_at = ? WHERE enrollment_id = ?",
        (text.decode(), now, enrollment_id),
    )


def page(
    db: Connection, *, query: str | None, after: str, limit: int, channel: str | None = "device"
) -> list[Device]:
    """Return devices by id, whose id, serial, name, model or OS contains `query`."""
    pattern = None if not query else f"%{_escape(query)}%"
    rows = db.execute(
        f"""
        {_SUMMARY}
         WHERE e.id > :after
           AND (:channel IS NULL OR (e.device_id IS NULL) = (:channel = 'device'))
           AND (:pattern IS NULL
                OR e.id LIKE :pattern ESCAPE '\\' OR d.serial_number LIKE :pattern ESCAPE '\\'
                OR d.name LIKE :pattern ESCAPE '\\' OR d.model LIKE :pattern ESCAPE '\\'
                OR d.os_version LIKE :pattern ESCAPE '\\')
         ORDER BY e.id
         LIMIT :limit
        """,
        {"after": after, "pattern": pattern, "limit": limit, "channel": channel},
    )
    return [_device(row) for row in rows]


def get(db: Connection, enrollment_id: str) -> Device | None:
    """Return one channel."""
    row = db.execute(f"{_SUMMARY} WHERE e.id = ?", (enrollment_id,)).fetchone()
    return None if row is None else _device(row)


def find_id(db: Connection, name: str) -> str | None:
    """Return the enrollment ID for an ID or a serial number, None if nothing has that name.

    Both are claims of a device, so one enrolled device must not take another's name: neither
    by an ID that is another's serial number, nor keep it from being named by its ID.

    Raises:
        Conflict: `device.ambiguous`; several enrolled devices do.
    """
    rows = db.execute(
        """
        SELECT e.id, e.state = 'enrolled'
          FROM enrollments AS e
         WHERE e.id = :name
         UNION
        SELECT e.id, e.state = 'enrolled'
          FROM devices AS d
          JOIN enrollments AS e ON e.id = d.enrollment_id
         WHERE d.serial_number = :name AND e.device_id IS NULL
        """,
        {"name": name},
    ).fetchall()
    enrolled = [row[0] for row in rows if row[1]]
    if len(enrolled) > 1 and name in enrolled and len(name) > _LONGEST_SERIAL_NUMBER:
        return name
    if len(enrolled) > 1:
        raise Conflict(
            f"several enrolled devices are called {name}",
            code="device.ambiguous",
            fix=f"name one by its ID: {', '.join(sorted(enrolled))}",
        )
    if enrolled:
        return str(enrolled[0])
    return min((str(row[0]) for row in rows), default=None)


def named(db: Connection, name: str) -> str:
    """Return the enrollment ID for an ID or a serial number.

    Raises:
        NotFound: nothing has that name.
        Conflict: `device.ambiguous`; several enrolled devices have it.
    """
    enrollment_id = find_id(db, name)
    if enrollment_id is None:
        raise NotFound("device", name)
    return enrollment_id


def details(db: Connection, enrollment_id: str) -> DeviceDetails | None:
    """Return one channel with all that it answered."""
    device = get(db, enrollment_id)
    if device is None:
        return None
    row = db.execute(
        """
        SELECT d.facts, d.information, d.information_at, d.security, d.security_at,
               p.outcome, p.sent_at, c.serial, c.not_after
          FROM enrollments AS e
          LEFT JOIN devices AS d ON d.enrollment_id = e.id
          LEFT JOIN pushes AS p ON p.enrollment_id = e.id
          LEFT JOIN certificates AS c ON c.sha256 = e.certificate_sha256
         WHERE e.id = ?
        """,
        (enrollment_id,),
    ).fetchone()
    return DeviceDetails(
        device=device,
        facts=_FACTS.decode(row[0] or "{}"),
        information=json.loads(row[1]) if row[1] else None,
        information_at=from_ms(row[2]),
        security=json.loads(row[3]) if row[3] else None,
        security_at=from_ms(row[4]),
        push_outcome=row[5],
        push_sent_at=from_ms(row[6]),
        certificate_serial=row[7],
        certificate_not_after=from_ms(row[8]),
    )


def states(db: Connection) -> dict[str, int]:
    """Count the device channels by state."""
    rows = db.execute(
        """
        SELECT CASE WHEN blocked_at IS NULL THEN state ELSE 'blocked' END AS shown, count(*)
          FROM enrollments
         WHERE device_id IS NULL
         GROUP BY shown
        """
    )
    return dict(rows.fetchall())


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _device(row: tuple[Any, ...]) -> Device:
    return Device(
        id=row[0],
        parent_id=row[1],
        channel="device" if row[1] is None else "user",
        type=row[2],
        state="blocked" if row[4] is not None else row[3],
        enrolled=row[3] == "enrolled" and row[4] is None,
        last_seen=from_ms(row[5]),
        enrolled_at=from_ms(row[6]),
        serial_number=row[7],
        udid=row[8],
        name=row[9],
        model=row[10],
        os_version=row[11],
        queue_depth=row[12],
        token_update_tally=row[13],
        awaiting_configuration=bool(row[14]),
        erased=bool(row[15]),
    )
