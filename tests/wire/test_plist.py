"""Property lists are written so that they read back, and their values are read by type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import MalformedMessage
from appliance.wire.plist import Plist, dumps, loads, to_json

# Not what XML forbids, nor the carriage return, which it turns into a line feed.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20
)
VALUES = st.recursive(
    TEXT
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=100)
    | st.datetimes(
        min_value=datetime(1000, 1, 1),
        timezones=st.just(UTC),  # hypothesis asks so
    ).map(lambda date: date.replace(microsecond=0)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_what_is_written_is_read_back(value: dict[str, object]) -> None:
    written = dumps(value)  # type: ignore[arg-type] # hypothesis does not type recursive values
    assert loads(written).value == value
    assert loads(written) == Plist(value)  # type: ignore[arg-type] # as above


def test_dates_are_written_in_utc() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert loads(dumps({"K": noon})).date("K") == datetime(2024, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("value", ["\x00", "\x1b", "\ufffe", "\ud800", 2**64, None, {1: "x"}])
def test_what_no_property_list_can_hold_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        dumps({"K": value})  # type: ignore[dict-item] # the point


def test_json_shows_data_as_base64_and_dates_in_utc() -> None:
    date = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    body = Plist({"b": b"\xff", "d": date, "a": [Plist({"x": 1}).value], "t": True})
    assert to_json(body) == {"b": "/w==", "d": "2024-01-02T03:04:05Z", "a": [{"x": 1}], "t": True}


BODY = Plist(
    {"s": "x", "b": b"x", "i": 1, "t": True, "n": {"i": "x", "m": {}}, "a": ["x", 1], "r": 0.5}
)


def test_values_are_read_by_type() -> None:
    assert (BODY.text("s"), BODY.data("b"), BODY.integer("i"), BODY.boolean("t")) == (
        "x",
        b"x",
        1,
        True,
    )
    assert (BODY.real("r"), BODY.real("i"), BODY.array("a")) == (0.5, 1.0, ["x", 1])
    assert BODY.dictionary("n").text("i") == "x"
    assert "s" in BODY
    assert "x" not in BODY


def test_an_absent_key_gives_the_default_or_is_named() -> None:
    assert BODY.text("x", None) is None
    assert BODY.data("x", b"") == b""
    assert BODY.dictionary("x", None) is None
    assert BODY.strings("x") == []
    for read in (BODY.text, BODY.data, BODY.integer, BODY.real, BODY.boolean, BODY.date):
        with pytest.raises(MalformedMessage, match="x: is missing"):
            read("x")
    for container in (BODY.array, BODY.dictionary):
        with pytest.raises(MalformedMessage, match="x: is missing"):
            container("x")


def test_a_value_of_another_type_is_refused_even_with_a_default() -> None:
    with pytest.raises(MalformedMessage, match="i: is not a string"):
        BODY.text("i", None)
    with pytest.raises(MalformedMessage, match="t: is not an integer"):
        BODY.integer("t")
    with pytest.raises(MalformedMessage, match="a: not an array of strings"):
        BODY.strings("a")


def test_a_nested_key_is_named_with_its_path() -> None:
    with pytest.raises(MalformedMessage) as refusal:
        BODY.dictionary("n").dictionary("m").text("x")
    assert refusal.value.key == "n.m.x"


def test_values_stay_out_of_repr() -> None:
    assert "secret" not in repr(Plist({"UnlockToken": b"secret", "K": "secret"}))
