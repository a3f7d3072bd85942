"""The four dots of a command: queued, accepted by Apple, connected, answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.store.command_records import CommandRecord
from appliance.web.languages import text


class Mark(StrEnum):
    """How a dot looks: its shape says the same as its colour and its word."""

    DONE = "done"
    NEXT = "next"  # what is waited for
    OPEN = "open"
    SKIPPED = "skipped"  # not needed, or it will not come any more
    FAILED = "failed"


# For those who hear the page.
MARK_WORDS = {
    Mark.DONE: text("done"),
    Mark.NEXT: text("waiting"),
    Mark.OPEN: text("not yet"),
    Mark.SKIPPED: text("left out"),
    Mark.FAILED: text("failed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One dot; `after` is in seconds since the command was queued. Words are untranslated."""

    word: str
    mark: Mark
    at: datetime | None = None
    after: float | None = None

    @property
    def mark_word(self) -> str:
        """The mark in a word."""
        return MARK_WORDS[self.mark]


def stages_of(record: CommandRecord, now: datetime) -> tuple[Stage, ...]:
    """Return the four dots of a command."""
    is_held = record.is_held(now)
    first = text("held") if is_held else text("queued")
    is_over = record.finished_at is not None or record.status == "expired"
    stages = [
        Stage(word=first, mark=Mark.DONE, at=record.queued_at, after=0.0),
        _passed(text("accepted by Apple"), record, record.pushed_at, record.connected_at),
        _passed(text("connected"), record, record.connected_at, None),
        _last(record),
    ]
    waits = True
    marked = []
    for stage in stages:
        mark = stage.mark
        if mark is Mark.OPEN and is_over:
            mark = Mark.SKIPPED
        elif mark is Mark.OPEN and waits and not is_held:
            mark, waits = Mark.NEXT, False
        marked.append(Stage(word=stage.word, mark=mark, at=stage.at, after=stage.after))
    return tuple(marked)


def _passed(word: str, record: CommandRecord, at: datetime | None, later: datetime | None) -> Stage:
    if at is not None:
        return Stage(word=word, mark=Mark.DONE, at=at, after=_after(record, at))
    return Stage(word=word, mark=Mark.SKIPPED if later is not None else Mark.OPEN)


def _last(record: CommandRecord) -> Stage:
    word, mark = _OUTCOMES.get(record.status, (text("answered"), Mark.OPEN))
    at = record.finished_at
    return Stage(word=word, mark=mark, at=at, after=_after(record, at))


_OUTCOMES = {
    "acknowledged": (text("answered"), Mark.DONE),
    "error": (text("refused"), Mark.FAILED),
    "format_error": (text("not understood"), Mark.FAILED),
    "cancelled": (text("cancelled"), Mark.SKIPPED),
    "expired": (text("expired"), Mark.SKIPPED),
    "not_now": (text("not now"), Mark.OPEN),
}


def _after(record: CommandRecord, at: datetime | None) -> float | None:
    if at is None or record.queued_at is None:
        return None
    return max(0.0, (at - record.queued_at).total_seconds())
