"""One's own account: the password, and the browsers in which one is signed in."""

from __future__ import annotations

import pytest

from tests.web.browser import NAME, PASSWORD, Browser

NEW = "another good password"


def change(old: str, new: str, again: str | None = None) -> dict[str, str]:
    """The form, filled in."""
    return {"old": old, "password": new, "again": new if again is None else again}


async def signs_in(browser: Browser, password: str) -> bool:
    """Whether the password is the user's, tried in a browser of its own."""
    other = Browser(browser.client, browser.parts)
    answer = await other.submit("/login", {"name": NAME, "password": password})
    return answer.status == 303


async def test_the_password_is_changed_and_other_browsers_are_signed_out(browser: Browser) -> None:
    other = Browser(browser.client, browser.parts)
    await other.sign_up()
    await browser.sign_up()
    assert "2 browsers are signed in" in (await browser.get("/account")).text
    code = await browser.parts.services.accounts.new_sign_in_code()

    changed = await browser.submit("/account/password", change(PASSWORD, NEW))

    assert changed.status == 303
    page = await browser.get(changed.location)
    assert "The password is changed." in page.text
    assert "Only this browser is signed in." in page.text
    assert (await other.get("/account")).status == 303, "signed out"
    assert (await other.submit("/login", {"code": code.code})).status != 303
    assert not await signs_in(browser, PASSWORD)
    assert await signs_in(browser, NEW)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        (change("wrong", NEW), 403, "The present password is wrong."),
        (change("", NEW), 403, "The present password is wrong."),
        (change(PASSWORD, NEW, "different"), 422, "The two passwords are not the same."),
        (change(PASSWORD, "short"), 422, "The password needs at least"),
        (change(PASSWORD, "x" * 1025), 422, "The password is too long."),
    ],
)
async def test_what_is_refused_changes_nothing(
    browser: Browser, form: dict[str, str], status: int, words: str
) -> None:
    await browser.sign_up()
    refused = await browser.submit("/account/password", form)
    assert refused.status == status
    assert words in refused.text
    assert PASSWORD not in refused.text
    assert await signs_in(browser, PASSWORD)
    assert (await browser.get("/account")).status == 200, "still signed in"


async def test_d01_the_old_password_cannot_be_guessed_in_a_session(browser: Browser) -> None:
    await browser.sign_up()
    answers = [
        await browser.submit("/account/password", change(f"guess {number}", NEW))
        for number in range(7)
    ]
    assert [answer.status for answer in answers] == [403] * 5 + [429] * 2
    assert "Too many attempts failed." in answers[-1].text
    assert int(answers[-1].headers["Retry-After"]) > 0
    right = await browser.submit("/account/password", change(PASSWORD, NEW))
    assert right.status == 429


async def test_d05_a_form_of_another_site_changes_nothing(browser: Browser) -> None:
    await browser.sign_up()
    for path in ("/account/password", "/account/sign-out"):
        form = {"csrf_token": "0" * 64, **change(PASSWORD, NEW)}
        assert (await browser.submit(path, form)).status == 403
    assert (await browser.get("/account")).status == 200
    assert await signs_in(browser, PASSWORD)


async def test_signing_out_everywhere_ends_every_session(browser: Browser) -> None:
    other = Browser(browser.client, browser.parts)
    await other.sign_up()
    await browser.sign_up()
    code = await browser.parts.services.accounts.new_sign_in_code()

    left = await browser.submit("/account/sign-out", {})

    assert (left.status, left.location) == (303, "/login")
    assert browser.cookie is None
    assert (await other.get("/")).location == "/login"
    assert (await other.submit("/login", {"code": code.code})).status != 303
    await other.sign_up()
    assert "signed out everywhere" in (await other.get("/activity")).text


async def test_another_users_sessions_stay(browser: Browser) -> None:
    await browser.sign_up()
    accounts = browser.parts.services.accounts
    await accounts.add_user("Ren", PASSWORD)
    other = Browser(browser.client, browser.parts)
    other.cookie = (await accounts.sign_in("Ren", PASSWORD, None)).token
    await browser.submit("/account/password", change(PASSWORD, NEW))
    await browser.submit("/account/sign-out", {})
    assert (await other.get("/account")).status == 200


async def test_the_page_speaks_japanese_and_is_for_who_has_signed_in(browser: Browser) -> None:
    await browser.sign_up()
    assert "パスワードを変更" in (await browser.get("/account?lang=ja")).text
    assert 'href="/account"' in (await browser.get("/")).text
    assert (await Browser(browser.client, browser.parts).get("/account")).status == 303
