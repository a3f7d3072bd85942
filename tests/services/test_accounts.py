"""Signing in under attack: whom the throttle stops, and whom it must not stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.config import AuthConfig
from appliance.errors import Busy, SignInRefused, TooMany
from appliance.services.accounts import AccountService
from appliance.store.database import Database

NAME, PASSWORD = "Aki", "correct horse battery"
HOME = ip_address("192.168.1.10")


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[AccountService]:
    """Accounts with one user."""
    database = await Database.open(tmp_path / "appliance.db")
    accounts = AccountService(database, AuthConfig(argon2_memory_mib=8), "https://mdm.example.com")
    await accounts.add_user(NAME, PASSWORD)
    yield accounts
    accounts.close()
    await database.close()


async def fail(accounts: AccountService, address: str, name: str = NAME) -> bool:
    """One wrong password; whether it was looked at."""
    try:
        await accounts.sign_in(name, "not the password", ip_address(address))
    except SignInRefused:
        return True
    except TooMany:
        return False
    raise AssertionError("a wrong password signed in")


async def test_d01_one_address_cannot_lock_another_out(accounts: AccountService) -> None:
    assert [await fail(accounts, "10.0.0.1") for _ in range(7)] == [True] * 5 + [False] * 2
    assert (await accounts.sign_in(NAME, PASSWORD, HOME)).user == NAME


async def test_d01_many_addresses_are_stopped_and_the_owner_is_not(
    accounts: AccountService,
) -> None:
    await accounts.sign_in(NAME, PASSWORD, HOME)
    looked_at = [await fail(accounts, f"10.0.{number // 250}.{number % 250}") for number in
                 range(10_000)]  # fmt: skip
    assert sum(looked_at) <= 20
    assert (await accounts.sign_in(NAME, PASSWORD, HOME)).user == NAME


async def test_d01_one_password_on_many_names_is_stopped(accounts: AccountService) -> None:
    looked_at = [await fail(accounts, "10.0.0.1", f"name {number}") for number in range(10_000)]
    assert sum(looked_at) == 5


async def test_d01_attempts_at_the_same_time_count_before_they_end(
    accounts: AccountService,
) -> None:
    looked_at = await asyncio.gather(*(fail(accounts, "10.0.0.1") for _ in range(50)))
    assert sum(looked_at) == 5


async def test_d01_a_network_of_ipv6_is_one_address(accounts: AccountService) -> None:
    looked_at = [await fail(accounts, f"2001:db8::{number}") for number in range(20)]
    assert sum(looked_at) == 5
    assert await fail(accounts, "2001:db8:0:1::1")


async def test_a_success_forgets_the_failures_before(accounts: AccountService) -> None:
    for _ in range(3):
        assert all([await fail(accounts, str(HOME)) for _ in range(4)])
        await accounts.sign_in(NAME, PASSWORD, HOME)


async def test_an_unknown_name_takes_as_long_as_a_known_one(accounts: AccountService) -> None:
    async def seconds(name: str, number: int) -> float:
        begun = time.process_time()  # of all threads, whatever else the machine does meanwhile
        assert await fail(accounts, f"10.{len(name)}.0.{number}", name)
        return time.process_time() - begun

    pairs = [(await seconds(NAME, turn), await seconds("nobody", turn)) for turn in range(4)]
    known, unknown = (min(durations) for durations in zip(*pairs, strict=True))
    assert 0.5 < known / unknown < 2, pairs


async def test_a_flood_is_refused_instead_of_waiting_for_ever(accounts: AccountService) -> None:
    attempts = [
        accounts.sign_in(f"name {number}", PASSWORD, ip_address(f"10.1.{number}.1"))
        for number in range(100)
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Busy, SignInRefused}


async def test_a_name_that_grows_when_its_case_is_folded_signs_in(accounts: AccountService) -> None:
    name = "ß" * 40
    await accounts.add_user(name, PASSWORD)
    assert (await accounts.sign_in(name, PASSWORD, HOME)).user == name
