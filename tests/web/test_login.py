"""The first account, signing in and out: what a person and what an attacker sees."""

from __future__ import annotations

import html
import json
import sqlite3
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from appliance.services.clock import DAY, HOUR, MINUTE, now_ms
from appliance.web.cookies import SESSION_COOKIE

from .browser import NAME, PASSWORD, Browser, Shown

HOST = "mdm.example.com:8443"
WRONG = {"name": NAME, "password": "not the password"}
RIGHT = {"name": NAME, "password": PASSWORD}


def first_account(code: str, **fields: str) -> dict[str, str]:
    """The setup form, filled in."""
    return {"code": code, "name": NAME, "password": PASSWORD, "again": PASSWORD, **fields}


async def setup_code(browser: Browser) -> str:
    """A code as `appliance init` prints it."""
    return (await browser.parts.services.accounts.new_setup_code()).code


async def sign_in_code(browser: Browser) -> str:
    """A code as `appliance open` prints it."""
    await browser.sign_up()
    browser.cookie = None
    return (await browser.parts.services.accounts.new_sign_in_code()).code


def store(browser: Browser, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Look at, or change, what is stored."""
    with closing(sqlite3.connect(browser.parts.directory.database)) as db, db:
        return db.execute(sql, values).fetchall()


def events(browser: Browser, kind: str) -> list[dict[str, object]]:
    """What the audit log has of one kind."""
    rows = store(browser, "SELECT data FROM events WHERE kind = ? ORDER BY id", kind)
    return [json.loads(str(data)) for (data,) in rows]


async def is_signed_in(browser: Browser) -> bool:
    """Whether the cookie opens the API."""
    return (await browser.get("/api/v1/devices")).status == 200


# The first account


async def test_without_a_user_everything_leads_to_setup(browser: Browser) -> None:
    assert (await browser.get("/login")).location == "/setup"
    page = await browser.get("/setup")
    assert page.status == 200
    assert "At least 12 characters" in page.text


async def test_the_first_account_is_made_and_signed_in(browser: Browser) -> None:
    code = await setup_code(browser)
    typed = code.replace("-", " ").lower()
    answer = await browser.submit("/setup", first_account(typed))
    assert (answer.status, answer.location) == (303, "/")
    assert await is_signed_in(browser)
    assert events(browser, "user.created") == [{"name": NAME}]
    assert (await browser.get("/setup")).location == "/login"


@pytest.mark.parametrize("code", ["", "XXXX", "7KQ4-M2XD-7KQ4-M2XD-7KQ4-M2XD", "\u00e9"])
async def test_d25_a_wrong_code_makes_no_account(browser: Browser, code: str) -> None:
    await setup_code(browser)
    answer = await browser.submit("/setup", first_account(code))
    assert answer.status == 403
    assert "This setup code is not valid" in answer.text
    assert PASSWORD not in answer.text
    assert store(browser, "SELECT name FROM users") == []


async def test_d25_an_expired_code_makes_no_account(browser: Browser) -> None:
    code = await setup_code(browser)
    store(browser, "UPDATE one_time_codes SET expires_at = ?", now_ms() - 1)
    assert (await browser.submit("/setup", first_account(code))).status == 403


async def test_d25_a_code_is_good_once_and_all_are_void_then(browser: Browser) -> None:
    codes = [await setup_code(browser) for _ in range(2)]
    assert (await browser.submit("/setup", first_account(codes[0]))).status == 303
    browser.cookie = None
    for code in codes:
        answer = await browser.submit("/setup", first_account(code, name="mallory"))
        assert (answer.status, answer.location) == (303, "/login")
    assert store(browser, "SELECT name FROM users") == [(NAME,)]
    assert store(browser, "SELECT count(*) FROM one_time_codes") == [(0,)]
    assert browser.cookie is None


async def test_an_account_added_by_the_command_line_voids_setup_codes(browser: Browser) -> None:
    code = await setup_code(browser)
    await browser.parts.services.accounts.add_user("other", PASSWORD)
    assert (await browser.submit("/setup", first_account(code))).location == "/login"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "short", "again": "short"}, "at least 12 characters"),
        ({"password": "x" * 1025, "again": "x" * 1025}, "too long"),
        ({"again": "something else entirely"}, "not the same"),
        ({"name": " "}, "A name has 1 to 64 characters"),
        ({"name": "a\u0007b"}, "A name has 1 to 64 characters"),
        (
            {"name": "Administrator 1", "password": "administrator 1", "again": "administrator 1"},
            "must not be the name",
        ),
    ],
)
async def test_what_is_not_acceptable_is_said_and_costs_no_code(
    browser: Browser, fields: dict[str, str], said: str
) -> None:
    code = await setup_code(browser)
    answer = await browser.submit("/setup", first_account(code, **fields))
    assert answer.status == 422
    assert said in answer.text
    assert (await browser.submit("/setup", first_account(code))).status == 303


# Signing in


async def test_name_and_password_sign_in_however_they_are_typed(browser: Browser) -> None:
    await browser.parts.services.accounts.add_user("Aki", "\uff50assword\u3000\u30ab\u3099ラス")
    composed = {"name": " AKI ", "password": "password ガラス"}
    assert (await browser.submit("/login", composed)).status == 303
    assert await is_signed_in(browser)


async def test_d06_the_cookie_is_strict_and_new_at_each_sign_in(browser: Browser) -> None:
    await browser.sign_up()
    planted = browser.cookie
    answer = await browser.submit("/login", RIGHT)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    for flag in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        assert flag in cookie
    assert "Domain" not in cookie
    assert browser.cookie != planted
    assert await is_signed_in(browser)
    browser.cookie = planted
    assert not await is_signed_in(browser)


async def test_the_store_holds_no_secret_in_the_clear(browser: Browser) -> None:
    code = await sign_in_code(browser)
    session = await browser.sign_up()
    with closing(sqlite3.connect(browser.parts.directory.database)) as db:
        everything = "\n".join(db.iterdump())
    for secret in (PASSWORD, session.token, session.csrf_token, code, code.replace("-", "")):
        assert secret not in everything
        assert secret.encode().hex() not in everything.lower()
    ((phc,),) = store(browser, "SELECT password FROM users")
    assert str(phc).startswith("$argon2id$v=19$m=8192,t=3,p=1$")


async def test_a_failure_says_not_which_part_was_wrong(browser: Browser) -> None:
    await browser.sign_up()
    browser.cookie = None
    known = await browser.submit("/login", WRONG)
    unknown = await browser.submit("/login", {"name": "nobody", "password": "not the password"})
    assert known.status == unknown.status == 403
    assert "The name or the password is wrong." in known.text
    assert known.text.replace(f'value="{NAME}"', 'value="nobody"') == unknown.text
    assert browser.cookie is None


async def test_failures_are_noted_once_a_minute_and_without_what_was_typed(
    browser: Browser,
) -> None:
    await browser.sign_up()
    for _ in range(3):
        await browser.submit("/login", {"name": "my secret password", "password": "x"})
    assert events(browser, "user.sign_in_failed") == [{"address": "127.0.0.1", "name": None}]
    assert events(browser, "user.signed_in") == [{"name": NAME, "address": "None"}]


async def test_d01_after_five_failures_the_address_waits(browser: Browser) -> None:
    await browser.sign_up()
    browser.cookie = None
    for _ in range(5):
        assert (await browser.submit("/login", WRONG)).status == 403
    for form in (WRONG, RIGHT, {"code": "XXXX-XXXX"}):
        answer = await browser.submit("/login", form)
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
        assert "Try again in 15 minutes." in answer.text
    assert browser.cookie is None


async def test_a_hash_of_another_cost_is_renewed_at_sign_in(browser: Browser) -> None:
    await browser.sign_up()
    cheap = Argon2id(salt=b"0123456789abcdef", length=32, iterations=1, lanes=1, memory_cost=64)
    store(browser, "UPDATE users SET password = ?", cheap.derive_phc_encoded(PASSWORD.encode()))
    assert (await browser.submit("/login", RIGHT)).status == 303
    ((phc,),) = store(browser, "SELECT password FROM users")
    assert str(phc).startswith("$argon2id$v=19$m=8192,t=3,p=1$")
    assert (await browser.submit("/login", RIGHT)).status == 303


# Where to go on


@pytest.mark.parametrize("path", ["/devices", "/devices?q=a%20b&state=silent", "/"])
async def test_signing_in_goes_on_where_one_wanted_to(browser: Browser, path: str) -> None:
    await browser.sign_up()
    assert (await browser.submit("/login", {**RIGHT, "next": path})).location == path
    assert (await browser.get("/login?next=/devices")).location == "/devices"


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example", "https://evil.example", "https:evil.example", "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example", "/%0d%0aSet-Cookie:x=y\r\nX: y", "javascript:alert(1)",
        "evil.example", "", "/\u00e9", "/" + "a" * 3000, " //evil.example", "/a\\..\\b",
    ],
)  # fmt: skip
async def test_d18_signing_in_never_leads_to_another_server(browser: Browser, wanted: str) -> None:
    await browser.sign_up()
    assert (await browser.submit("/login", {**RIGHT, "next": wanted})).location == "/"
    browser.cookie = None
    page = await browser.request("GET", "/login", headers={}, params={"next": wanted})
    assert 'name="next" value="/"' in page.text


async def test_what_was_typed_comes_back_as_text(browser: Browser) -> None:
    await browser.sign_up()
    browser.cookie = None
    name = '"><script>alert(1)</script>'
    answer = await browser.submit("/login", {"name": name, "password": "x"})
    assert html.escape(name, quote=True).replace("&#x27;", "&#39;") in answer.text.replace(
        "&#34;", "&quot;"
    )
    assert "<script>alert" not in answer.text


# One-time codes


async def test_a_sign_in_code_works_once(browser: Browser) -> None:
    code = await sign_in_code(browser)
    assert (await browser.submit("/login", {"code": code, "next": "/devices"})).location == (
        "/devices"
    )
    assert await is_signed_in(browser)
    browser.cookie = None
    answer = await browser.submit("/login", {"code": code})
    assert answer.status == 403
    assert "has been used or has expired" in answer.text


async def test_a_sign_in_code_ends_after_five_minutes(browser: Browser) -> None:
    code = await sign_in_code(browser)
    ((expires,),) = store(browser, "SELECT expires_at FROM one_time_codes")
    assert 4 * MINUTE < int(str(expires)) - now_ms() <= 5 * MINUTE
    store(browser, "UPDATE one_time_codes SET expires_at = ?", now_ms() - 1)
    assert (await browser.submit("/login", {"code": code})).status == 403


async def test_a_sign_in_code_is_no_setup_code(browser: Browser) -> None:
    code = await sign_in_code(browser)
    store(browser, "UPDATE users SET name = 'Bo', folded_name = 'bo'")
    assert (await browser.submit("/setup", first_account(code))).location == "/login"
    assert store(browser, "SELECT name FROM users") == [("Bo",)]


# Other sites


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
async def test_d05_another_site_signs_nobody_in(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_up()
    browser.cookie = None
    for path, form in (("/login", RIGHT), ("/setup", first_account("XXXX-XXXX"))):
        answer = await browser.submit(path, form, **headers)
        assert answer.status == 403
        assert browser.cookie is None


@pytest.mark.parametrize("path", ["/login", "/setup", "/logout"])
async def test_d15_a_rebound_name_is_refused(browser: Browser, path: str) -> None:
    assert (await browser.submit(path, {}, Host="evil.example")).status == 403
    if path != "/logout":
        assert (await browser.get(path, Host="evil.example")).status == 403


async def test_d05_signing_out_needs_the_page_s_token(browser: Browser) -> None:
    await browser.sign_up()
    assert (await browser.submit("/logout", {"csrf_token": "x"})).status == 403
    assert await is_signed_in(browser)


# The end of a session


async def test_d07_signing_out_ends_the_session_on_the_server(browser: Browser) -> None:
    session = await browser.sign_up()
    answer = await browser.submit("/logout", {})
    assert (answer.status, answer.location) == (303, "/login")
    assert browser.cookie is None
    browser.cookie = session.token
    assert not await is_signed_in(browser)
    assert store(browser, "SELECT count(*) FROM sessions") == [(0,)]


@pytest.mark.parametrize(
    ("column", "age", "lives"),
    [
        ("seen_at", 11 * HOUR, True),
        ("seen_at", 12 * HOUR, False),
        ("created_at", 6 * DAY, True),
        ("created_at", 7 * DAY, False),
    ],
)
async def test_d07_a_session_ends_unused_or_old(
    browser: Browser, column: str, age: int, lives: bool
) -> None:
    await browser.sign_up()
    store(browser, f"UPDATE sessions SET {column} = ?", now_ms() - age)
    assert await is_signed_in(browser) is lives
    await browser.parts.services.housekeeping.close_expired()
    assert store(browser, "SELECT count(*) FROM sessions") == [(int(lives),)]


async def test_a_session_in_use_stays(browser: Browser) -> None:
    await browser.sign_up()
    store(browser, "UPDATE sessions SET seen_at = ?", now_ms() - 11 * HOUR)
    await browser.get("/api/v1/devices")
    ((seen,),) = store(browser, "SELECT seen_at FROM sessions")
    assert now_ms() - int(str(seen)) < MINUTE


async def test_d07_a_changed_password_ends_every_session(browser: Browser) -> None:
    await browser.sign_up()
    await browser.parts.services.accounts.set_password(NAME, "another good password")
    assert not await is_signed_in(browser)
    assert (await browser.submit("/login", RIGHT)).status == 403
    assert events(browser, "user.password_changed") == [{"name": NAME}]


# Languages


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("Sign in", "wrong")), ("ja", ("サインイン", "違います"))]
)
async def test_signing_in_speaks_the_reader_s_language(
    browser: Browser, language: str, words: tuple[str, str]
) -> None:
    await browser.sign_up()
    browser.cookie = None
    headers = {"Accept-Language": language}
    answers: list[Shown] = [
        await browser.get("/login", **headers),
        await browser.submit("/login", WRONG, **headers),
    ]
    for answer, word in zip(answers, words, strict=True):
        assert answer.headers["Content-Language"] == language
        assert word in answer.text
