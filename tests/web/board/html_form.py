"""A form of a page as a browser without scripts sees it: fill it in, press a button."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = dict[str, str | None]


@dataclass(slots=True)
class Control:
    """One field: `options` of a choice, `values` that would be sent now."""

    kind: str
    options: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


class HtmlForm(HTMLParser):
    """The controls of the form whose class is `name`, by their names."""

    def __init__(self, html: str, name: str) -> None:
        super().__init__()
        self.controls: dict[str, Control] = {}
        self.buttons: list[tuple[str, str]] = []
        self.action = ""
        self._name = name
        self._inside = False
        self._textarea: Control | None = None
        self._select: Control | None = None
        self._option: str | None = None
        self.feed(html)

    def values(self) -> dict[str, list[str]]:
        """Return what would be sent, without a button."""
        return {name: control.values for name, control in self.controls.items() if control.values}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one control."""
        given = dict(attrs)
        if tag == "form":
            self._inside = self._name in (given.get("class") or "").split()
            if self._inside:
                self.action = given.get("action") or ""
        if not self._inside:
            return
        match tag:
            case "input":
                self._input(given)
            case "textarea":
                self._textarea = self._control(given, "textarea")
                self._textarea.values = [""]
            case "select":
                self._select = self._control(given, "select")
            case "option" if self._select is not None:
                self._option = given.get("value") if "value" in given else ""
                if "value" in given:
                    self._add_option(given.get("value") or "", chosen="selected" in given)
                    self._option = None
            case "button":
                self.buttons.append((given.get("name") or "", given.get("value") or ""))
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        """Leave a control or the form."""
        match tag:
            case "form":
                self._inside = False
            case "textarea":
                self._textarea = None
            case "select":
                self._select = None
            case _:
                pass

    def handle_data(self, data: str) -> None:
        """Take the text of a textarea; a browser drops its first line break."""
        if self._textarea is not None:
            self._textarea.values = [self._textarea.values[0] + data.removeprefix("\n")]
        if self._select is not None and self._option is not None and data.strip():
            self._add_option(data.strip(), chosen=False)
            self._option = None

    def _input(self, given: Attributes) -> None:
        kind = given.get("type") or "text"
        control = self._control(given, kind)
        value = given.get("value") or ""
        if kind == "checkbox":
            control.options.append(value)
            if "checked" in given:
                control.values.append(value)
        elif kind != "file":
            control.values = [value]

    def _control(self, given: Attributes, kind: str) -> Control:
        name = (given.get("name") or "").removeprefix("key:")  # what the server reads it as
        return self.controls.setdefault(name, Control(kind=kind))

    def _add_option(self, value: str, *, chosen: bool) -> None:
        assert self._select is not None
        self._select.options.append(value)
        if chosen or not self._select.values:
            self._select.values = [value]
