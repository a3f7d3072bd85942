"""Users and sign-in codes through the API."""

from __future__ import annotations

import pytest

from .api_client import ApiClient
from .browser import NAME, PASSWORD, Browser

USERS = "/api/v1/users"
CODES = "/api/v1/sign-in-codes"
AKI = {"name": NAME, "password": PASSWORD}


async def test_a_user_is_made_listed_and_removed(api: ApiClient) -> None:
    made = await api.call("POST", USERS, AKI)
    assert made.status == 201
    assert made.json["name"] == NAME
    assert "password" not in made.json
    assert (await api.call("POST", USERS, {**AKI, "name": "bo"})).status == 201
    listed = await api.call("GET", USERS)
    assert [item["name"] for item in listed.json["items"]] == [NAME, "bo"]
    assert "argon2" not in listed.text
    assert (await api.call("DELETE", f"{USERS}/BO")).status == 204
    last = await api.call("DELETE", f"{USERS}/{NAME}")
    assert (last.status, last.json["code"]) == (409, "user.last")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**AKI, "name": "aki "}, 409, "user.exists"),
        ({**AKI, "name": ""}, 422, "user.name_invalid"),
        ({"name": "bo", "password": "short"}, 422, "user.password_short"),
        ({"name": "bo"}, 422, "request.invalid"),
    ],
)
async def test_what_is_wrong_with_a_user_has_a_code(
    api: ApiClient, body: dict[str, str], status: int, code: str
) -> None:
    await api.call("POST", USERS, AKI)
    answer = await api.call("POST", USERS, body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert PASSWORD not in answer.text


async def test_a_token_cannot_become_a_user_who_may_do_more(api: ApiClient) -> None:
    await api.call("POST", USERS, AKI)
    token = await api.new_token("admin")
    assert (await api.call("GET", USERS, token=token)).status == 200
    for method, path, body in (
        ("POST", USERS, {**AKI, "name": "bo"}),
        ("PUT", f"{USERS}/{NAME}/password", {"password": "another good password"}),
        ("DELETE", f"{USERS}/{NAME}", None),
        ("POST", CODES, {}),
    ):
        answer = await api.call(method, path, body, token=token)
        assert (answer.status, answer.json["code"]) == (403, "auth.scope_missing"), path


async def test_d07_a_changed_password_ends_the_other_sessions(browser: Browser) -> None:
    elsewhere = Browser(browser.client, browser.parts)
    await elsewhere.sign_up()
    await browser.sign_up()
    body = {"password": "another good password"}
    assert (await browser.call("PUT", f"{USERS}/{NAME}/password", body)).status == 204
    assert await browser.session() is not None
    assert await elsewhere.session() is None


async def test_a_sign_in_code_names_its_user_and_is_never_kept(api: ApiClient) -> None:
    first = await api.call("POST", CODES, {})
    assert first.status == 201
    assert first.json["user"] is None
    assert first.json["url"] == f"https://mdm.example.com:8443/setup#{first.json['code']}"
    await api.call("POST", USERS, AKI)
    second = await api.call("POST", CODES, {})
    assert second.json["user"] == NAME
    assert second.json["url"] == f"https://mdm.example.com:8443/login#{second.json['code']}"
    assert second.headers["Cache-Control"] == "no-store"


async def test_with_several_users_one_must_be_named(api: ApiClient) -> None:
    for name in (NAME, "bo"):
        await api.call("POST", USERS, {**AKI, "name": name})
    assert (await api.call("POST", CODES, {})).status == 422
    assert (await api.call("POST", CODES, {"user": "BO"})).json["user"] == "bo"
    assert (await api.call("POST", CODES, {"user": "nobody"})).status == 404
