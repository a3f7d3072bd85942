"""The page of what happened: one line a command, one for many devices, and its views."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from appliance.services.clock import now_ms
from appliance.store import events
from tests.web.board.conftest import Office

ANSWER = b"<plist><dict/></plist>"


async def queue(office: Office, *targets: str, request_type: str = "ProfileList") -> list[str]:
    """Queue one command on each device; returns the UUIDs."""
    body = {"targets": list(targets), "request_type": request_type, "push": False}
    answer = await office.api.call("POST", "/api/v1/commands", body)
    return [command["id"] for command in answer.json["commands"]]


async def feed(office: Office, path: str = "/activity") -> list[str]:
    """The lines of the page as text."""
    html = await office.open(path)
    rows = html.partition('<section id="events"')[2].partition("</section>")[0]
    found = re.findall(r"<li.*?</svg><p>(.*?)</p>", rows, re.DOTALL)
    return [unescape(" ".join(re.sub(r"<[^>]+>", "", row).split())) for row in found]


def happened(office: Office, kind: str, **data: Any) -> None:
    """Write an event."""
    with office.api.database() as db, db:
        events.add(db, kind, now_ms(), data=data)


async def test_an_order_without_a_reason_quotes_none(office: Office) -> None:
    happened(office, "command.ordered", by="Aki", request_type="DeviceLock", reason="")
    happened(office, "command.ordered", by="Aki", request_type="EraseDevice", reason="lost")

    erased, locked, *_ = await feed(office)
    assert erased.endswith(": “lost”")
    assert "sent DeviceLock" in locked
    assert "“" not in locked


async def test_a_command_is_one_line_that_tells_how_far_it_is(office: Office) -> None:
    (command,) = await queue(office, "one")
    assert [line for line in await feed(office) if "ProfileList" in line] == [
        "ProfileList waits for one's Mac"
    ]

    office.api.answer_command("one", command, ANSWER)

    (line,) = [line for line in await feed(office) if "ProfileList" in line]
    assert line.startswith("one's Mac answered ProfileList")
    assert f'href="/commands/{command}"' in await office.open("/activity")


async def test_many_devices_that_do_one_thing_are_one_line(office: Office) -> None:
    names = ["one", *(office.api.enroll(f"mac-{number}") for number in range(5))]
    await queue(office, *names)
    lines = [line for line in await feed(office) if "ProfileList" in line]
    assert len(lines) == 1
    assert lines[0].endswith("and 3 others")
    assert "ほか3台" in "".join(await feed(office, "/activity?lang=ja"))


async def test_the_same_on_one_device_again_is_counted(office: Office) -> None:
    for _ in range(3):
        (command,) = await queue(office, "one")
        office.api.answer_command("one", command, ANSWER)
    assert "one's Mac answered ProfileList (3 times)" in await feed(office)


async def test_failures_stand_alone(office: Office) -> None:
    office.api.enroll("two")
    for name in ("one", "two"):
        (command,) = await queue(office, name)
        await office.api.call("DELETE", f"/api/v1/commands/{command}")
    lines = [line for line in await feed(office) if "cancelled" in line and "Mac" in line]
    assert sorted(lines) == [
        "ProfileList for one's Mac was cancelled", "ProfileList for two's Mac was cancelled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("view", "there", "not_there"),
    [
        ("attention", ["no identity certificate", "Signing in from"], ["link was made", "waits"]),
        ("commands", ["waits for"], ["link was made", "Signing in from"]),
        ("enrollments", ["link was made", "no identity certificate"], ["waits", "Signing in from"]),
        ("security", ["Signing in from", "link was made"], ["waits for"]),
        ("nonsense", ["waits for", "Signing in from", "link was made"], []),
    ],
)
async def test_a_view_shows_its_part(
    office: Office, view: str, there: list[str], not_there: list[str]
) -> None:
    await queue(office, "one")
    await office.api.parts.services.enrolling.create_link()
    happened(office, "user.sign_in_failed", address="10.0.0.1", name=None)
    happened(office, "certificate.refused", reason="the challenge was used before")

    text = "\n".join(await feed(office, f"/activity?show={view}"))

    assert [words for words in there if words not in text] == []
    assert [words for words in not_there if words in text] == []


async def test_what_does_not_fit_is_on_the_next_page_and_nothing_twice(office: Office) -> None:
    for number in range(120):
        happened(office, "token.created", name=f"token-{number:03}", scopes=[])
    seen: list[str] = []
    path = "/activity?show=security"
    while path:
        seen += re.findall(r"token-\d{3}", "\n".join(await feed(office, path)))
        link = re.search(r'rel="next" href="([^"]+)"', await office.open(path))
        path = link[1].replace("&amp;", "&") if link else ""
    assert seen == [f"token-{number:03}" for number in reversed(range(120))]


async def test_why_a_certificate_was_refused_is_in_the_readers_language(office: Office) -> None:
    happened(office, "certificate.refused", reason="the challenge was used before")

    assert [line for line in await feed(office) if "certificate" in line] == [
        "A device got no identity certificate. "
        "The profile had been used already: each is good for one device, once."
    ]
    assert any(
        line.startswith("識別証明書を発行できませんでした。") and "challenge" not in line
        for line in await feed(office, "/activity?lang=ja")
    )
