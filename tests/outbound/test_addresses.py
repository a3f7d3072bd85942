"""Which addresses a receiver may have."""

from __future__ import annotations

import pytest

from appliance.outbound import refusal

NEVER = (
    "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "fe80::1%eth0",  # noqa: S104
    "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "fd00:ec2::254", "100.100.100.200",
)  # fmt: skip
PRIVATE = (
    "127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "fec0::1",
)  # fmt: skip
PUBLIC = ("17.57.144.1", "2606:4700::1111", "64:ff9b::1139:9001")


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_a_receivers(address: str) -> None:
    assert refusal(address, allow_private=True)
    assert refusal(address, allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_may_be_one_unless_that_is_switched_off(address: str) -> None:
    assert refusal(address, allow_private=True) is None
    assert refusal(address, allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_may_always_be_one(address: str) -> None:
    assert refusal(address, allow_private=False) is None
