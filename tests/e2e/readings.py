"""A command's page as a person reads it: labels, values, and what is said of an error."""

from __future__ import annotations

from html.parser import HTMLParser

_EMPTY = frozenset({"meta", "link", "input", "br", "path", "use", "circle"})


class Reading(HTMLParser):
    """The texts of a page, without what is folded away; `answer` are those of the answer."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.labels: list[str] = []  # dt, th of columns and h3 of the answer
        self.values: list[str] = []  # dd, td, th of rows
        self.causes: list[str] = []
        self.notes: list[str] = []  # what a form says about the device
        self.main = ""
        self._path: list[tuple[str, dict[str, str]]] = []
        self._texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Go into an element."""
        if tag not in _EMPTY:
            self._path.append((tag, {key: value or "" for key, value in attrs}))
            self._texts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Sort the text of an element."""
        if tag in _EMPTY or not self._path:
            return
        name, attributes = self._path[-1]
        said = " ".join(self._texts.pop().split())
        if not self._is_within("details"):
            self._sort(name, attributes, said)
        self._path.pop()
        if self._texts:
            self._texts[-1] += f" {said} "
        if name == "main":
            self.main = said

    def handle_data(self, data: str) -> None:
        """Gather text."""
        if self._texts:
            self._texts[-1] += data

    def _sort(self, tag: str, attributes: dict[str, str], said: str) -> None:
        classes = attributes.get("class", "").split()
        if "cause" in classes:
            self.causes.append(said)
        elif self._is_within("div", "note") and tag == "p":
            self.notes.append(said)
        elif not self._is_within("div", "readout"):
            return
        elif tag in ("dt", "h3") or (tag == "th" and attributes.get("scope") == "col"):
            self.labels.append(said)
        elif tag in ("dd", "td", "th"):
            self.values.append(said)

    def _is_within(self, tag: str, name: str = "") -> bool:
        return any(
            one == tag and (not name or name in attributes.get("class", "").split())
            for one, attributes in self._path
        )
