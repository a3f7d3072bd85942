"""Its part of `docs/benchmarks.md`, and the chart: what a run measured, and on what."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
import ssl
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from .peers import OURS
from .table import Figure, markdown

_BEGIN, _END = "<!-- by scripts/bench --write -->\n", "<!-- end -->\n"
_DOCS = Path(__file__).parents[2] / "docs"
_DRAWN = ("idle connects /s", "command cycles /s", "whole enrollments /s", "SCEP certificates /s")

_TEXT = """## Beside other servers

Written by `scripts/bench --postgresql --write` on {date}; run it on your machine.

![Operations in a second of one core's time, ours and others]({chart})

{table}

{machine}; Python {python}, OpenSSL {openssl}, SQLite {sqlite}. Medians of {rounds} rounds; in
each round every server had its turn, and ratios are taken round by round. Load average
{load:.1f}.

**How to read it.** Each server is pinned to one core, the load generator to the other; "reached"
is judged by the rate, what such a core does in a second. µs are the processor time of one
operation: whoever waits for the disk has a lower rate than they say, and other programs disturb
them least. A database counts with the server that needs it. "µs" of more than a second of work
are exact to 1 %. Above a load average of 2 the machine had other work, and only large differences
mean anything: run it again in a quiet hour.

**What is compared.** A turn begins when the disk is synced, so nobody pays for what the one before
left to be written. Ours has TLS, and answers after an fsync. NanoMDM is measured over plain
HTTP, as it has no TLS of its own: in memory it stores nothing that outlives it, its file store
and PostgreSQL do. Of its connections to PostgreSQL it keeps two, which is Go's default, and opens
the others anew: most of what it costs there. PostgreSQL gets an eighth of the cycles and
connects, or the others would wait for it. All verify the same signatures, each one signed
anew. A *command cycle* is two requests: a report that fetches a command, and its result of 1 KB,
which is stored and fetches the next. A *whole enrollment* is a certificate by SCEP, Authenticate
and TokenUpdate; beside NanoMDM it is micromdm/scep that issues it, with an authority of the same
size (RSA 2048) and to as many devices: its depot slows down as it fills. MicroMDM v1 is not
among them: it takes only certificates of its own authority.
"""

_ROW, _GROUP, _LEFT, _WIDTH = 22, 34, 236, 760
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1d1d1f}.t{font-weight:600}.n{fill:#55555c}"
    ".b{fill:#fff}.o{fill:#0a66c2}.p{fill:#a9b4c0}"
    "@media(prefers-color-scheme:dark){text{fill:#f2f2f4}.n{fill:#b6b6be}"
    ".b{fill:#16181d}.o{fill:#62adff}.p{fill:#5d6875}}"
)


def write(figures: Sequence[Figure], *, rounds: int) -> None:
    """Write the chart, and the page's part between the marks."""
    chart = _DOCS / "benchmarks.svg"
    chart.write_text(draw(figures))
    text = _TEXT.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        chart=chart.name,
        table=markdown(list(figures)),
        machine=_machine(),
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION.split()[1],
        sqlite=sqlite3.sqlite_version,
        rounds=rounds,
        load=os.getloadavg()[0],
    )
    page = _DOCS / "benchmarks.md"
    page.write_text(_with_part(page.read_text(), text))


def _with_part(page: str, text: str) -> str:
    """Return `page` with `text` in place of what it had between the marks, or as its first part."""
    if _BEGIN in page:
        before, _, rest = page.partition(_BEGIN)
        after = rest.partition(_END)[2]
    else:
        title, _, after = page.partition("\n\n")
        before, after = f"{title}\n\n", f"\n{after}"
    return f"{before}{_BEGIN}{text}{_END}{after}"


def draw(figures: Sequence[Figure]) -> str:
    """Bars of operations in a second of processor time, readable on light and dark pages."""
    parts: list[str] = []
    height = 8
    drawn = [figure for figure in figures if figure.name in _DRAWN and figure.peers]
    for figure in sorted(drawn, key=lambda figure: _DRAWN.index(figure.name)):
        bars = _bars(figure)
        parts.append(_group(figure.name.removesuffix(" /s"), bars, height))
        height += _GROUP + _ROW * len(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Operations in a second of one core\'s time"><style>{_STYLE}</style>\n'
        f'<rect class="b" width="{_WIDTH}" height="{height}" rx="8"/>\n'
        f"{''.join(parts)}</svg>\n"
    )


def _bars(figure: Figure) -> list[tuple[str, float, float]]:
    """Name, operations in a second of processor time, and ours divided by that."""
    rates = {OURS: figure.per_processor_second()}
    rates |= {peer: figure.per_processor_second(peer) for peer in figure.peers}
    return [(name, rate, rates[OURS] / rate) for name, rate in rates.items() if rate]


def _group(title: str, bars: list[tuple[str, float, float]], top: int) -> str:
    most = max(rate for _, rate, _ in bars)
    room = _WIDTH - _LEFT - 130
    lines = [f'<text class="t" x="8" y="{top + 16}">{escape(title)}</text>\n']
    for index, (name, rate, ratio) in enumerate(bars):
        y = top + 24 + index * _ROW
        width = max(2, round(rate / most * room))
        kind, secured = ("o", ", TLS") if name == OURS else ("p", "")
        value = f"{rate:,.0f}" + ("" if name == OURS else f" (ours: {ratio:.1f} x)")
        lines.append(
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}{secured}</text>'
            f'<rect class="{kind}" x="{_LEFT}" y="{y + 2}" width="{width}" height="14" rx="3"/>'
            f'<text class="n" x="{_LEFT + width + 8}" y="{y + 13}">{value}</text>\n'
        )
    return "".join(lines)


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "Model"))
    ]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}"
