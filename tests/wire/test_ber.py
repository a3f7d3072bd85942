"""BER to DER: right, bounded, and never another exception."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import MalformedMessage
from appliance.wire.ber import ber2der


def test_indefinite_lengths_become_definite() -> None:
    assert ber2der(bytes.fromhex("3080020105a0800401610000 0000")) == bytes.fromhex(
        "3008020105a003040161"
    )


def test_pieces_of_an_octet_string_are_joined() -> None:
    nested = bytes.fromhex("2480 0402 6162 2404 0402 6364 0401 65 0000")
    assert ber2der(nested) == bytes.fromhex("0405 6162636465")


def test_lengths_become_the_shortest() -> None:
    assert ber2der(bytes.fromhex("3084000000050483000001ff")[:3] + b"\0\0\x04\x04\x82\0\0") == (
        bytes.fromhex("30020400")
    )


def test_der_stays_as_it_is_and_sets_keep_their_order() -> None:
    unsorted = bytes.fromhex("3106020102020101")
    assert ber2der(unsorted) == unsorted


def test_long_values_get_long_lengths() -> None:
    value = b"x" * 40_000
    assert ber2der(b"\x24\x80\x04\x82" + (40_000).to_bytes(2, "big") + value + b"\0\0") == (
        b"\x04\x82" + (40_000).to_bytes(2, "big") + value
    )


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "",
        "30",
        "3001",
        "30020500ff",  # trailing byte
        "0480",  # primitive, indefinite
        "3080020105",  # no end-of-contents
        "308002010500",  # half of it
        "0000",
        "30020000",  # end-of-contents without a beginning
        "3084ffffffff",
        "30850000000001",
        "3f8101020500",  # multi-byte tag
        "2403020105",  # an integer inside an octet string
        "2303030100",  # constructed bit string
    ],
)
def test_what_is_not_ber_is_refused(hexadecimal: str) -> None:
    with pytest.raises(MalformedMessage):
        ber2der(bytes.fromhex(hexadecimal))


def test_depth_is_bounded() -> None:
    ber2der(b"\x30\x80" * 15 + b"\0\0" * 15)
    for depth in (17, 10_000):
        with pytest.raises(MalformedMessage, match="deeply"):
            ber2der(b"\x30\x80" * depth + b"\0\0" * depth)


def test_size_is_bounded_as_the_caller_chooses() -> None:
    message = b"\x04\x83\x01\x11\x70" + bytes(70_000)
    with pytest.raises(MalformedMessage, match="too long"):
        ber2der(message)
    assert ber2der(message, limit=100_000) == message
    with pytest.raises(MalformedMessage, match="too long"):
        ber2der(bytes(5 * 1024 * 1024), limit=1 << 40)


def test_many_tiny_elements_are_refused_in_no_time() -> None:
    pieces = b"\x04\x00" * (2 * 1024 * 1024 - 10)
    started = time.thread_time()
    with pytest.raises(MalformedMessage, match="too many"):
        ber2der(b"\x24\x80" + pieces + b"\0\0", limit=4 * 1024 * 1024)
    assert time.thread_time() - started < 0.5


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_der_or_our_own_error(data: bytes) -> None:
    try:
        der = ber2der(data)
    except MalformedMessage:
        return
    assert ber2der(der) == der
