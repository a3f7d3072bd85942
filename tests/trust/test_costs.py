"""What a stranger's request costs: nothing in it is read by what takes long for long things."""

from __future__ import annotations

import pytest

from tests.device.server import Api
from tests.trust.timing import quickest

# What aiohttp is right to refuse in the first line of its own costs nothing; these it reads.
_HEADERS = {
    "a type of semicolons": {"Content-Type": "a/b;" + ";" * 59_000},
    "a type of parameters": {"Content-Type": "a/b;" + "a=b;" * 12_000},
    "a type of comments": {"Content-Type": "(" * 59_000},
    "a form's type of comments": {
        "Content-Type": "application/x-www-form-urlencoded; " + "(" * 220
    },
    "cookies": {"Cookie": "a=;" * 20_000},
    "quoted cookies": {"Cookie": 'a="b;c="' * 7_000},
}


@pytest.mark.parametrize("headers", _HEADERS.values(), ids=_HEADERS.keys())
async def test_c_19_headers_are_read_at_once(api: Api, headers: dict[str, str]) -> None:
    async def once() -> None:
        for method, path in (("POST", "/login"), ("GET", "/devices"), ("GET", "/enroll")):
            async with api.session.request(
                method, api.server.url + path, headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status in (200, 303, 400), answer

    await quickest(once, below=0.1)


async def test_d_01_a_name_of_marks_out_of_order_takes_no_time(api: Api) -> None:
    """Unicode has them sorted, which took seconds for a form of the length that is accepted."""
    names = ("e" + "\u0301\u0327" * 3_500, "e" + "\u0301\u0327" * 50_000)

    async def once() -> None:
        for name in names:
            form = f"name={name}&password=x".encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            async with api.session.post(
                api.server.url + "/login", data=form, headers=headers
            ) as answer:
                assert answer.status in (403, 413, 429), answer

    await once()  # compares a password, which takes a while; then the address has to wait
    for _ in range(5):
        await once()
    await quickest(once, below=0.1)
