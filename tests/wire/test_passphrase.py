"""A key under a passphrase opens with that passphrase alone, and a bad file is never believed."""

from __future__ import annotations

import json

import pytest

from appliance.errors import BadSignature, MalformedMessage
from appliance.wire.passphrase import unwrap, wrap
from appliance.wire.seal import new_key

KEY = new_key()
WORDS = "correct horse battery staple"


def test_the_passphrase_opens_it_and_another_does_not() -> None:
    wrapped = wrap(WORDS, KEY)
    assert unwrap(WORDS, wrapped) == KEY
    assert KEY not in wrapped
    for other in ("", WORDS.upper(), f"{WORDS} "):
        with pytest.raises(BadSignature):
            unwrap(other, wrapped)


def test_words_that_are_no_utf_8_are_a_passphrase_too() -> None:
    words = b"correct \xff horse battery".decode(
        "utf-8", "surrogateescape"
    )  # as os.environ has them
    assert unwrap(words, wrap(words, KEY)) == KEY


def test_it_is_salted() -> None:
    one, two = (json.loads(wrap(WORDS, KEY)) for _ in range(2))
    assert one["salt"] != two["salt"]
    assert one["sealed"] != two["sealed"]


def test_a_letter_may_be_typed_in_two_ways() -> None:
    wrapped = wrap("Schlüssel über Wörter", KEY)
    assert unwrap("Schlu\u0308ssel u\u0308ber Wo\u0308rter", wrapped) == KEY


def test_a_guess_costs_64_mib() -> None:
    log_n, r, _ = json.loads(wrap(WORDS, KEY))["scrypt"]
    assert 128 * r << log_n >= 64 << 20


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"scrypt": [40, 8, 1]}, {"scrypt": [16, 8, 0]}, {"scrypt": [16, 8]},
        {"salt": 1}, {"sealed": ""}, {"sealed": "AAAA"}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(change: dict[str, object]) -> None:
    document = {**json.loads(wrap(WORDS, KEY)), **change}
    with pytest.raises(MalformedMessage):
        unwrap(WORDS, json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"null", bytes(100)])
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedMessage):
        unwrap(WORDS, content)
