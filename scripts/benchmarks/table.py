"""Figures beside their targets, as a Markdown table or JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round on one server."""

    rate: float
    processor_us: float = 0.0
    p99_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure must reach: absolutely, or as a multiple of a peer's."""

    limit: float
    peer: str = ""
    at_most: bool = False

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.limit:g} x" if self.peer else f"{sign} {self.limit:,g}"

    def reached(self, value: float) -> bool:
        """Whether `value` (a ratio if there is a peer) is on the right side."""
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(slots=True, kw_only=True)
class Figure:
    """One measured quantity: ours and each peer's, over all rounds."""

    name: str
    ours: list[Sample]
    peers: dict[str, list[Sample]] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    missing: tuple[str, ...] = ()

    def per_processor_second(self, peer: str = "") -> float:
        """Operations in a second of processor time, of ours or of a peer; 0 if not measured."""
        spent = _processor(self.peers[peer] if peer else self.ours)
        return 1e6 / spent if spent else 0.0

    def rows(self) -> list[Row]:
        """One row per target, then one per peer without a target."""
        rows = [self._row(target) for target in self.targets]
        aimed = {target.peer for target in self.targets}
        rows += [self._row(None, peer) for peer in self.peers if peer not in aimed]
        rows += [self._row(None, peer) for peer in self.missing if peer not in aimed]
        return rows or [self._row(None)]

    def _row(self, target: Target | None, peer: str = "") -> Row:
        peer = target.peer if target else peer
        ours, theirs = self.ours, self.peers.get(peer, [])
        ratio = _ratio_of([one.rate for one in ours], [one.rate for one in theirs])
        processor_ratio = _ratio_of(
            [one.processor_us for one in theirs], [one.processor_us for one in ours]
        )
        # Judged by what one core does in a second: who waits for the disk meanwhile does less.
        value = ratio if peer else _rate(ours) if ours else None
        met = target.reached(value) if target and value is not None else None
        return Row(
            figure=self.name,
            ours=_rate(ours) if ours else None,
            ours_processor_us=_processor(ours),
            ours_p99_ms=_p99(ours),
            peer=peer,
            theirs=_rate(theirs) if theirs else None,
            theirs_processor_us=_processor(theirs),
            ratio=ratio,
            target=str(target) if target else "",
            reached="not installed" if peer and not theirs else _verdict(met),
            processor_ratio=processor_ratio,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; None where nothing was measured."""

    figure: str
    ours: float | None
    ours_processor_us: float | None
    ours_p99_ms: float | None
    peer: str
    theirs: float | None
    theirs_processor_us: float | None
    ratio: float | None
    processor_ratio: float | None
    target: str
    reached: Literal["yes", "NO", "", "not installed"]


def markdown(figures: list[Figure]) -> str:
    """The table; µs are processor time per operation, which a busy neighbour disturbs least."""
    lines = [
        "| figure | ours | µs | p99 ms | peer | theirs | µs | ratio | of µs | target | reached |",
        "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|---|",
    ]
    for figure in figures:
        for row in figure.rows():
            cells = [
                row.figure,
                _number(row.ours),
                _number(row.ours_processor_us),
                _number(row.ours_p99_ms),
                row.peer or "-",
                _number(row.theirs),
                _number(row.theirs_processor_us),
                _ratio(row.ratio),
                _ratio(row.processor_ratio),
                row.target or "-",
                row.reached,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rate(samples: list[Sample]) -> float:
    return statistics.median(sample.rate for sample in samples)


def _processor(samples: list[Sample]) -> float | None:
    spent = [sample.processor_us for sample in samples if sample.processor_us]
    return statistics.median(spent) if spent else None


def _ratio_of(some: list[float], others: list[float]) -> float | None:
    """The median of the ratios in each round, whose two halves the same disturbance met."""
    rounds = [one / other for one, other in zip(some, others, strict=False) if one and other]
    return statistics.median(rounds) if rounds else None


def _p99(samples: list[Sample]) -> float | None:
    waits = [sample.p99_ms for sample in samples if sample.p99_ms]
    return statistics.median(waits) if waits else None


def _verdict(met: bool | None) -> Literal["yes", "NO", ""]:
    return "" if met is None else "yes" if met else "NO"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
