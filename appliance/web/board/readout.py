"""An answer in words: groups of facts, and tables. Pure; hostile answers are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, TypeAlias

from appliance.web.board.answers import ENVELOPE
from appliance.web.board.labels import LABELS, SECTIONS
from appliance.web.board.tables import GROUPED, SHAPES, Shape
from appliance.web.board.values import NOTHING, Cell, cell_of
from appliance.web.languages import text
from appliance.wire.certificates import described

_MOST_ROWS = 400
_MOST_BLOCKS = 60
_DEEPEST = 3
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a value is called: `word` to be translated, or the device's own `name`."""

    word: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Values with their labels."""

    kind: ClassVar[str] = "facts"

    title: Label
    rows: tuple[tuple[Label, Cell], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a table. `notes` are to be translated."""

    name: Label
    code: str = ""
    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A list; `count` are all entries, some of which may be left out of `entries`."""

    kind: ClassVar[str] = "table"

    title: Label
    headings: tuple[str, ...]
    entries: tuple[Entry, ...]
    count: int


Block: TypeAlias = Facts | Table
_Values: TypeAlias = Mapping[str, Any]


def readout(answer: _Values, sent: _Values, *, reveal: bool) -> tuple[Block, ...]:
    """Return what a device answered, in words.

    Args:
        sent: the parameters of the command: they name what the results of Settings are about.
        reveal: show secrets, too.
    """
    reader = _Reader(reveal=reveal)
    values = {key: value for key, value in answer.items() if key not in ENVELOPE}
    if len(values) == 1 and (name := next(iter(values))) in _WRAPPERS:
        inner = values[name]
        values = inner if isinstance(inner, dict) else values
    if "Settings" in values:
        values = {**values, "Settings": _named(values["Settings"], sent.get("Settings"))}
    reader.sections(values)
    return tuple(reader.blocks[:_MOST_BLOCKS])


def is_partial(answer: _Values) -> bool:
    """Tell whether parts of an answer, as of Settings, are errors while it is none itself."""
    return any("ErrorChain" in entry for value in answer.values() for entry in _dictionaries(value))


# The only key of an answer, and nothing but a shell.
_WRAPPERS = frozenset(
    {
        "QueryResponses", "SecurityInfo", "StatusResponse", "SetFirmwarePassword",
        "VerifyFirmwarePassword", "RotateResult",
    }
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class _Reader:
    reveal: bool
    blocks: list[Block] = field(default_factory=list)

    def sections(self, values: _Values) -> None:
        """Read DeviceInformation by its sections, anything else as it comes."""
        left = dict(values)
        if len(left.keys() & _IN_SECTIONS) > 1:
            for title, keys in SECTIONS.items():
                found = {key: left.pop(key) for key in keys if _is_plain(left.get(key))}
                if found:
                    self.facts(Label(word=title), found, 0)
        self.facts(Label(), left, 0)

    def facts(self, title: Label, values: _Values, depth: int) -> None:
        """Read a dictionary: what is plain as facts, what is not as blocks of their own."""
        plain = {key: value for key, value in values.items() if _is_plain(value)}
        if plain:
            rows = tuple(
                (label(str(key)), cell_of(str(key), value, reveal=self.reveal))
                for key, value in islice(sorted(plain.items(), key=_place), _MOST_ROWS)
            )
            self.blocks.append(Facts(title=title, rows=rows))
        for key, value in values.items():
            if key not in plain and len(self.blocks) < _MOST_BLOCKS:
                self._nested(str(key), value, depth + 1)

    def _nested(self, key: str, value: Any, depth: int) -> None:
        if key in _RESTRICTIONS:
            self._restrictions(key, value)
        elif key in GROUPED and isinstance(value, list):
            self._grouped(key, value, depth)
        elif key in SHAPES:
            if not value and depth > 1:
                return
            self.blocks.append(self._table(key, SHAPES[key], _entries(value)))
        elif isinstance(value, dict) and depth < _DEEPEST:
            self.facts(label(key), value, depth)
        elif value:
            cell = Cell(kind="many", text=str(len(value)))
            self.blocks.append(Facts(title=Label(), rows=((label(key), cell),)))

    def _table(self, key: str, shape: Shape, entries: list[_Values]) -> Table:
        rows = [self._entry(shape, entry) for entry in entries[:_MOST_ROWS]]
        if key != "Settings":  # those are in the order in which they were sent
            rows.sort(key=lambda row: (row.name.name or row.name.word).casefold())
        used = [
            index
            for index in range(len(shape.columns))
            if any(row.cells[index] != NOTHING for row in rows)
        ]
        headings = tuple(shape.columns)
        return Table(
            title=label(key),
            headings=(shape.heading, *(headings[index] for index in used)),
            entries=tuple(
                Entry(
                    name=row.name, code=row.code, notes=row.notes,
                    cells=tuple(row.cells[index] for index in used),
                )
                for row in rows
            ),
            count=len(entries),
        )  # fmt: skip

    def _entry(self, shape: Shape, entry: _Values) -> Entry:
        name = next((said for key in shape.name if (said := _said(entry, key))), "")
        is_ours = "Item" in shape.name and name in LABELS
        code = _said(entry, shape.code)
        return Entry(
            name=label(name) if is_ours else Label(name=name),
            code="" if code == name else code,
            cells=tuple(self._cell(entry, keys) for keys in shape.columns.values()),
            notes=tuple(note for key, note in shape.notes.items() if entry.get(key) is True),
        )

    def _cell(self, entry: _Values, keys: tuple[str, ...]) -> Cell:
        key = next((key for key in keys if key in entry), "")
        value = entry.get(key)
        return cell_of(key, _SUMMARIES[key](value) if key in _SUMMARIES else value,
                       reveal=self.reveal)  # fmt: skip

    def _grouped(self, key: str, value: list[Any], depth: int) -> None:
        entries = _entries(value)
        if not entries:
            self.blocks.append(Table(title=label(key), headings=(), entries=(), count=0))
        for entry in entries[:_MOST_BLOCKS]:
            title, inner = Label(name=_said(entry, "Identifier")), entry.get(GROUPED[key])
            if isinstance(inner, dict) and inner:
                self.facts(title, inner, depth)
            else:
                self.blocks.append(Facts(title=title, rows=()))

    def _restrictions(self, key: str, value: Any) -> None:
        groups = {"": value} if key == "GlobalRestrictions" else value
        for identifier, kinds in groups.items() if isinstance(groups, dict) else ():
            title = Label(name=str(identifier)[:_LONGEST]) if identifier else label(key)
            rows = [
                Entry(name=Label(name=str(name)[:_LONGEST]), cells=(self._restricted(entry),))
                for found in (kinds.values() if isinstance(kinds, dict) else ())
                if isinstance(found, dict)
                for name, entry in sorted(found.items())
            ]
            self.blocks.append(
                Table(
                    title=title, headings=(text("Restriction"), text("Value")),
                    entries=tuple(rows[:_MOST_ROWS]), count=len(rows),
                )
            )  # fmt: skip

    def _restricted(self, entry: Any) -> Cell:
        entry = entry if isinstance(entry, dict) else {}
        return cell_of("", entry.get("value", entry.get("values")), reveal=self.reveal)


def label(key: str) -> Label:
    """Return what Apple's key is called."""
    word = LABELS.get(key, "")
    return Label(word=word) if word else Label(name=key[:_LONGEST])


_RESTRICTIONS = frozenset({"GlobalRestrictions", "ProfileRestrictions"})
_IN_SECTIONS = frozenset(key for section in SECTIONS.values() for key in section)


_ORDER = {key: place for place, key in enumerate(LABELS)}


def _place(item: tuple[str, Any]) -> int:
    """Sort what has a label by its place there; devices answer in the order of the alphabet."""
    return _ORDER.get(item[0], len(_ORDER))


def _is_plain(value: Any) -> bool:
    """Tell whether a value has its place beside a label."""
    if isinstance(value, list):
        return not any(isinstance(item, dict | list) for item in value) and bool(value)
    return value is not None and not isinstance(value, dict)


def _entries(value: Any) -> list[_Values]:
    """Return the dictionaries of a list, or of a dictionary that is keyed by identifiers."""
    if isinstance(value, dict):
        return [{"Identifier": key, **one} for key, one in value.items() if isinstance(one, dict)]
    entries = [entry for entry in value if isinstance(entry, dict)] if value else []
    return [_with_certificate(entry) for entry in entries[:_MOST_ROWS]] + entries[_MOST_ROWS:]


def _with_certificate(entry: _Values) -> _Values:
    """Add what a certificate says of itself, where an entry holds one."""
    der = entry.get("Data")
    found = described(der) if isinstance(der, bytes) else None
    if found is None:
        return entry
    name = entry.get("CommonName") or found.subject
    return {**entry, "CommonName": name, "Issuer": found.issuer, "NotAfter": found.not_after}


def _named(results: Any, sent: Any) -> Any:
    """Return the results of Settings with the settings they are about: they come in that order."""
    if not isinstance(results, list) or not isinstance(sent, list):
        return results
    items = [item.get("Item") if isinstance(item, dict) else None for item in sent]
    items += [None] * len(results)
    return [
        {"Item": item, **result} if isinstance(result, dict) else result
        for item, result in zip(items, results, strict=False)
    ]


def _said(entry: _Values, key: str) -> str:
    value = entry.get(key)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _payload_types(content: Any) -> list[str]:
    types = (_said(entry, "PayloadType") for entry in _dictionaries(content))
    return list(dict.fromkeys(filter(None, types)))


def _errors(chain: Any) -> list[str]:
    return [
        _said(error, "LocalizedDescription") or _said(error, "USEnglishDescription")
        for error in _dictionaries(chain)
    ]


def _signers(certificates: Any) -> list[str]:
    """Return who signed: of a chain, which may come in any order, the one that issued no other."""
    ders = certificates if isinstance(certificates, list) else []
    found = [one for der in ders if isinstance(der, bytes) and (one := described(der))]
    issuers = {one.issuer for one in found}
    signers = [one for one in found if one.subject not in issuers] or found
    return [one.subject for one in signers[:1]]


def _dictionaries(value: Any) -> Iterator[_Values]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict):
            yield entry


# Lists within a list's entry, in a cell.
_SUMMARIES = {
    "PayloadContent": _payload_types,
    "ErrorChain": _errors,
    "SignerCertificates": _signers,
}
