"""Every command to every kind of device, and its page: the answer can be read, in each language.

Four simulated devices and the Mac's user are sent the whole catalogue through the real server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from appliance.mdm.catalogue import catalogue
from appliance.simulator.state import Platform
from appliance.web.board.answers import ENVELOPE
from appliance.web.board.labels import LABELS
from appliance.web.languages import Language
from appliance.web.languages import catalogue as texts
from tests.device.server import Answer, Api
from tests.simulator.commands import parameters
from tests.simulator.fleets import Site, Watched, running_fleet

from .readings import Reading

pytestmark = pytest.mark.timeout(300)  # the first test waits for what all of them look at
DEVICES = 6  # of the demo, until every platform is there
LANGUAGES = ("en", "ja")
CHANNELS = (*(platform.value for platform in Platform), "user")
WORDS = frozenset(LABELS.values())
# One after the other; all else goes between the first and the second, by name. A wave is sent when
# the one before is done: what a locked device puts off must not come after its erasure.
WAVES = (
    ("DeviceInformation", "SecurityInfo", "InstallProfile", "InstallApplication"),
    ("RemoveProfile", "RemoveApplication", "EnableLostMode", "PlayLostModeSound", "DeviceLocation",
     "DisableLostMode", "DeviceLock", "ShutDownDevice"),
    ("RestartDevice", "EraseDevice"),
)  # fmt: skip
UNFILTERED = frozenset({"InstalledApplicationList", "ManagedApplicationList"})
# Encodings and Python's own words must not reach a person.
RAW = re.compile(r"""\bb['"]|\{'|\['|datetime\.|\bNone,|Undefined|<bound|\b0x[0-9a-f]{6}""")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One command that a device answered: its record by the API, and its page by language."""

    channel: str
    command: dict[str, Any]
    pages: Mapping[str, Reading]

    def __str__(self) -> str:
        return f"{self.command['request_type']} on {self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One that the server did not queue, and what its form says, by language."""

    channel: str
    request_type: str
    problem: str
    forms: Mapping[str, Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that was sent."""

    sent: list[Sent]
    refused: list[Refused]

    def with_status(self, status: str) -> list[Sent]:
        """Those that ended so."""
        return [one for one in self.sent if one.command["status"] == status]

    def answer(self, channel: str, request_type: str) -> Reading:
        """The page of one command, in English."""
        (found,) = (
            one for one in self.sent
            if one.channel == channel and one.command["request_type"] == request_type
        )  # fmt: skip
        return found.pages["en"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Everything that was sent to everybody."""
    site = Site.start(tmp_path_factory.mktemp("every"))
    try:
        yield asyncio.run(_tell_all(site))
    finally:
        status = site.server.stop()
    assert status == 0


async def _tell_all(site: Site) -> Told:
    async with (
        site.server.session() as session,
        running_fleet(site, devices=DEVICES, cast="demo", unlocks_after=0.05) as watched,
    ):
        api = Api(site.server, session)
        await watched.fleet.enroll(await site.source(api, DEVICES))
        assert len(watched.of("enrolled")) == DEVICES, watched.events
        channels = _channels(watched)
        for device in watched.fleet.devices:
            device.state.build_version = "25A1"  # there is an update for everybody
        queued: list[tuple[str, str]] = []
        refused: list[tuple[str, str, str, str]] = []
        for wave in _waves():
            for device in watched.fleet.devices:
                device.state.silent = False  # somebody starts what was shut down
            await _send_all(api, channels, wave, queued, refused)
            await _all_answered(api, watched, [uuid for _, uuid in queued])
        await _sign_in(api)
        sent = [
            Sent(
                channel=channel,
                command=await api.command(uuid),
                pages=await _pages(api, f"/commands/{uuid}"),
            )
            for channel, uuid in queued
        ]
        forms = [
            Refused(
                channel=channel, request_type=name, problem=problem,
                forms=await _pages(api, f"/devices/{target}/send/{name}"),
            )
            for channel, target, name, problem in refused
        ]  # fmt: skip
        return Told(sent=sent, refused=forms)


def _channels(watched: Watched) -> dict[str, str]:
    """One device of each platform, and the user of the Mac, by enrollment ID."""
    found: dict[str, str] = {}
    for device in watched.fleet.devices:
        state = device.state
        is_known = state.platform.value in found
        if is_known or (state.platform is Platform.MAC and len(device.channels) == 1):
            continue  # the first Mac belongs to a network user, whom the server does not manage
        found[state.platform.value] = state.udid
        if state.platform is Platform.MAC:
            user = device.channels[1].identification["UserID"]
            found["user"] = f"{state.udid}:{user}"
    assert len(found) == 5, found
    return found


def _waves() -> list[tuple[str, ...]]:
    first, *others = WAVES
    rest = sorted(catalogue().keys() - {name for wave in WAVES for name in wave})
    return [(*first, *rest), *others]


async def _send_all(
    api: Api,
    channels: Mapping[str, str],
    names: Sequence[str],
    queued: list[tuple[str, str]],
    refused: list[tuple[str, str, str, str]],
) -> None:
    for name in names:
        for channel, target in channels.items():
            body: dict[str, Any] = {"targets": [target], "request_type": name}
            if catalogue()[name].dangerous:
                shown = await api.device(target)  # the channel of a user has no serial number
                body["confirm"] = {"serial_number": shown["serial_number"] or target}
            answer = await _send(api, body, {} if name in UNFILTERED else parameters(name))
            if answer.status == 202:
                queued.append((channel, answer.json["commands"][0]["id"]))
            else:
                assert answer.json["code"] == "command.not_supported", (name, channel, answer)
                refused.append((channel, target, name, answer.json["detail"]))


async def _send(api: Api, body: dict[str, Any], given: dict[str, Any]) -> Answer:
    """Send it with all that it can carry but for what this device lacks."""
    while True:
        answer = await api.post("/api/v1/commands", {**body, "parameters": given})
        if answer.status == 202:
            return answer
        lacking = re.split(r"[ .\[]", answer.json["detail"].partition(": ")[2])[0]
        if "Settings" in given:
            left = [item for item in given["Settings"] if item["Item"] != lacking]
            fewer = {"Settings": left}
        else:
            fewer = {key: value for key, value in given.items() if key != lacking}
        if fewer == given:
            return answer
        given = fewer


async def _all_answered(api: Api, watched: Watched, uuids: list[str]) -> None:
    def finished() -> set[str]:
        answers = watched.of("answered")
        return {one["command_uuid"] for one in answers if one["status"] != "NotNow"}

    await watched.until(lambda: finished() >= set(uuids))
    for uuid in uuids:
        command = await api.command(uuid)
        assert command["finished_at"] is not None, command


async def _sign_in(api: Api) -> None:
    person = {"name": "Aki", "password": "correct horse battery"}
    made = await api.post("/api/v1/users", person)
    assert made.status == 201, made
    url, headers = f"{api.server.url}/login", {"Sec-Fetch-Site": "same-origin"}
    async with api.session.post(url, data=person, headers=headers) as response:
        assert response.status == 200
        assert response.url.path == "/"


async def _pages(api: Api, path: str) -> dict[str, Reading]:
    pages = {}
    for language in LANGUAGES:
        headers = {"Accept": "text/html", "Accept-Language": language}
        async with api.session.get(f"{api.server.url}{path}", headers=headers) as response:
            text = await response.text()
            assert response.status == 200, (path, text[:500])
            pages[language] = Reading(text)
    return pages


def test_every_command_is_answered_or_refused_with_a_reason(told: Told) -> None:
    every = {(channel, name) for channel in CHANNELS for name in catalogue()}
    answered = {(one.channel, one.command["request_type"]) for one in told.sent}
    refused = {(one.channel, one.request_type) for one in told.refused}
    assert answered | refused == every
    assert not answered & refused
    ends = {one.command["status"] for one in told.sent}
    assert ends == {"acknowledged", "error"}
    assert len(told.with_status("acknowledged")) > len(told.with_status("error"))


def test_no_page_shows_how_an_answer_was_encoded(told: Told) -> None:
    for one in told.sent:
        for reading in one.pages.values():
            found = RAW.search(reading.main)
            assert found is None, (str(one), reading.main[found.start() - 60 : found.end() + 60])


def test_an_answer_is_told_in_words(told: Told) -> None:
    for one in told.with_status("acknowledged"):
        english, japanese = (one.pages[language] for language in LANGUAGES)
        said = {key for key in one.command["result"] or {} if key not in ENVELOPE}
        if said and "It is sealed." not in english.main:
            assert english.labels, (str(one), one.command["result"])
        unread = {label for label in english.labels if label in LABELS and label not in WORDS}
        assert not unread, (str(one), unread)
        assert len(english.labels) == len(japanese.labels), str(one)
        for label, translated in zip(english.labels, japanese.labels, strict=True):
            wanted = texts(Language.JAPANESE).messages.get(label.rstrip(" 0123456789"))
            if wanted is not None:
                assert translated.startswith(wanted), (str(one), label, translated)


def test_what_a_list_holds_is_in_its_table(told: Told) -> None:
    names = {"Name", "PayloadDisplayName", "CommonName", "HumanReadableName", "FullName", "Title"}
    seen = set()
    for one in told.with_status("acknowledged"):
        for key, value in (one.command["result"] or {}).items():
            for entry in value if isinstance(value, list) else ():
                for name in names & entry.keys() if isinstance(entry, dict) else ():
                    seen.add(key)
                    for reading in one.pages.values():
                        assert any(entry[name] in said for said in reading.values), (str(one), name)
    assert seen >= {
        "InstalledApplicationList", "ProfileList", "CertificateList", "AvailableOSUpdates", "Users",
        "ProvisioningProfileList",
    }  # fmt: skip


def test_an_error_names_what_happened_why_and_what_to_do(told: Told) -> None:
    for one in told.with_status("error"):
        english, japanese = (one.pages[language] for language in LANGUAGES)
        for error in one.command["error_chain"]:
            for reading in (english, japanese):
                assert error["localized_description"] in reading.main, str(one)
                assert f"{error['error_domain']} {error['error_code']}" in reading.main, str(one)
        assert len(english.causes) == len(one.command["error_chain"]), (str(one), english.main)
        assert all(cause.endswith(".") for cause in english.causes)
        assert all(JAPANESE.search(cause) for cause in japanese.causes), str(one)


def test_what_a_device_cannot_do_says_so_where_it_would_be_sent(told: Told) -> None:
    assert told.refused
    for one in told.refused:
        english, japanese = (one.forms[language].notes for language in LANGUAGES)
        assert len(english) >= 2, (one.channel, one.request_type, one.problem)
        assert english[0] == "This device cannot do it:"
        subject, _, reason = english[1].partition(": ")
        assert one.problem.endswith(f"{subject.strip()} {reason}"), (one.problem, english)
        assert all(JAPANESE.search(note) for note in japanese), (one.request_type, japanese)


def test_values_have_units_and_words(told: Told) -> None:
    mac, ipad = (told.answer(channel, "DeviceInformation") for channel in ("Mac", "iPad"))
    assert any(re.fullmatch(r"[\d.]+ GB", value) for value in mac.values)
    assert any(re.fullmatch(r"\d+%", value) for value in ipad.values)
    assert {"Yes", "No", "On"} <= set(mac.values)
    settings = told.answer("iPad", "Settings")
    assert "Setting" in settings.labels
    assert {"Name", "Wallpaper", "Time zone"} <= set(settings.values)
