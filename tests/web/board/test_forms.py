"""A form for every command: what a person fills in is what the API would have been sent."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from appliance.errors import InvalidRequest
from appliance.mdm.catalogue import COMMON_KEYS, KeySpec, build_command, catalogue
from appliance.mdm.device import DeviceFacts, Platform
from appliance.web.board import forms
from appliance.web.board.forms import Field, Filled, Kind
from appliance.web.languages import Language
from appliance.web.pages import environment
from tests.mdm.catalogue_samples import sample_parameters

from .html_form import HtmlForm

MAC = DeviceFacts(platform="macOS", os_version="15.1")


def shown(
    request_type: str, filled: Filled, facts: DeviceFacts, language: Language = Language.ENGLISH
) -> HtmlForm:
    """The form of a command as a browser gets it."""
    fields = forms.fields_of(keys_of(request_type), filled, facts)
    macros = environment(language).get_template("board/_form.html").module
    html = macros.render(fields, {})  # type: ignore[attr-defined]
    return HtmlForm(f'<form class="send">{html}</form>', "send")


def keys_of(request_type: str) -> dict[str, KeySpec]:
    return {**catalogue()[request_type].keys, **COMMON_KEYS}


class Person:
    """Fills in a form from parameters, pressing Add where a list needs one more entry."""

    def __init__(self, request_type: str, parameters: dict[str, Any], facts: DeviceFacts) -> None:
        self.request_type = request_type
        self.parameters = parameters
        self.facts = facts
        self.filled = Filled()

    def fill(self) -> Filled:
        """Return the form as it is sent."""
        self._add_items()
        form = shown(self.request_type, self.filled, self.facts)
        self._put(self.parameters, "", form)
        return Filled(values=form.values())

    def _add_items(self) -> None:
        """Press Add for every entry of every list of dictionaries."""
        for name, key in keys_of(self.request_type).items():
            if forms.kind_of(key, 0) is not Kind.ITEMS:
                continue
            assert key.element is not None
            for item in self.parameters.get(name, ()):
                variant = item.get(key.element.selector, "")
                form = shown(self.request_type, self.filled, self.facts)
                assert ("add", f"/{name}") in form.buttons
                if variant:
                    assert variant in form.controls[f"variant:/{name}"].options
                kept = Filled(values=form.values())
                if key.required and not variant and not self.filled.values:
                    kept = Filled()  # the first fieldset is there already
                self.filled = forms.with_item(kept, f"/{name}", key.element, variant)

    def _put(self, value: Any, pointer: str, form: HtmlForm) -> None:
        control = form.controls.get(pointer)
        if control is None and isinstance(value, dict):
            for name, item in value.items():
                self._put(item, f"{pointer}/{name}", form)
        elif control is None:
            assert isinstance(value, list), f"no field for {pointer}"
            for index, item in enumerate(value):
                self._put(item, f"{pointer}/{index}", form)
        elif control.kind == "checkbox":
            assert set(value) <= set(control.options)
            control.values = list(value)
        elif control.kind != "hidden":
            control.values = [self._typed(value, control.kind)]
            if control.kind == "select":
                assert control.values[0] in control.options

    def _typed(self, value: Any, kind: str) -> str:
        match value:
            case bool():
                return str(value).lower()
            case list() if all(isinstance(item, str) for item in value):
                return "\r\n".join(value)
            case dict() | list():
                return json.dumps(value)
            case str() if kind == "datetime-local":
                return value.removesuffix("Z")
            case _:
                return str(value)


@pytest.mark.parametrize("request_type", catalogue())
def test_a_filled_form_is_what_the_api_takes(request_type: str) -> None:
    parameters = sample_parameters(catalogue()[request_type])
    filled = Person(request_type, parameters, MAC).fill()
    read = forms.parameters_of(keys_of(request_type), filled)
    assert build_command(request_type, read) == build_command(request_type, parameters)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("platform", get_args(Platform))
def test_every_form_is_complete_on_every_platform(platform: Platform, language: Language) -> None:
    facts = DeviceFacts(platform=platform, os_version="17.0", is_supervised=False)
    for request_type, spec in catalogue().items():
        form = shown(request_type, Filled(), facts, language)
        for name, key in spec.keys.items():
            kind = forms.kind_of(key, 0)
            expected = {Kind.ITEMS: f"count:/{name}"}.get(kind, f"/{name}")
            names = [control for control in form.controls if control.startswith(expected)]
            assert names, (request_type, name)


def test_an_empty_form_leaves_everything_out() -> None:
    for request_type in catalogue():
        form = shown(request_type, Filled(), MAC)
        assert forms.parameters_of(keys_of(request_type), Filled(values=form.values())) == {}


def test_what_was_typed_is_shown_again() -> None:
    typed = '"><script>&\r\nx'
    filled = Filled(values={"/Identifier": [typed], "/ManagementFlags": ["1"]})
    form = shown("InstallApplication", filled, MAC)
    assert form.controls["/Identifier"].values == [typed]
    assert form.controls["/ManagementFlags"].values == ["1"]


def test_a_number_that_is_none_is_refused_at_its_field() -> None:
    filled = Filled(values={"/iTunesStoreID": ["twelve"]})
    read = forms.parameters_of(keys_of("InstallApplication"), filled)
    with pytest.raises(InvalidRequest) as refusal:
        build_command("InstallApplication", read)
    assert refusal.value.pointer == "/parameters/iTunesStoreID"


@pytest.mark.parametrize("text", ["{", "[1", "NaN,", "[" * 100_000])
def test_json_that_is_none_is_refused_at_its_field(text: str) -> None:
    filled = Filled(values={"/Configuration": [text]})
    with pytest.raises(InvalidRequest) as refusal:
        forms.parameters_of(keys_of("InstallApplication"), filled)
    assert refusal.value.pointer == "/parameters/Configuration"


def test_a_file_goes_before_a_pasted_text() -> None:
    filled = Filled(values={"/Payload": ["bm8="]}, files={"/Payload": b"yes"})
    assert forms.parameters_of(keys_of("InstallProfile"), filled) == {"Payload": "eWVz"}


def test_removing_an_entry_moves_the_others_up() -> None:
    element = catalogue()["Settings"].keys["Settings"].element
    filled = Filled()
    for name in ("Bluetooth", "DeviceName", "TimeZone"):
        filled = forms.with_item(filled, "/Settings", element, name)
    filled = Filled(values={**filled.values, "/Settings/1/DeviceName": ["x"]})
    left = forms.without_item(filled, "/Settings/0")
    assert forms.parameters_of(keys_of("Settings"), left) == {
        "Settings": [{"Item": "DeviceName", "DeviceName": "x"}, {"Item": "TimeZone"}]
    }
    for nonsense in ("/Settings/7", "/Settings", "Settings/x", ""):
        assert forms.without_item(filled, nonsense) == filled


def test_a_form_has_an_end() -> None:
    filled = Filled(values={"count:/Settings": ["99999999"]})
    fields = forms.fields_of(keys_of("Settings"), filled, MAC)
    assert len(items_of(fields)) == 50


def items_of(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    (found,) = [field for field in fields if field.kind is Kind.ITEMS]
    return found.fields
