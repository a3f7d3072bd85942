"""`/api/v1/devices`."""

from __future__ import annotations

import pytest

from appliance.mdm.checkin import TokenUpdate
from appliance.mdm.enrollment import EnrollmentID, EnrollmentType
from appliance.store import enrollments

from .api_client import NOW, TOPIC, ApiClient

DEVICES = "/api/v1/devices"


async def test_a_device_is_listed_as_promised(api: ApiClient) -> None:
    api.enroll("one")
    answer = await api.call("GET", DEVICES)
    (device,) = answer.json["items"]
    assert answer.json["next_cursor"] is None
    assert device["id"] == device["udid"] == "one"
    assert device["serial_number"] == "SERIAL-one"
    assert device["name"] == "one's Mac"
    assert device["os_version"] == "15.1"
    assert (device["enrolled"], device["state"]) == (True, "enrolled")
    assert device["last_seen"].endswith("Z")
    assert (device["queue_depth"], device["channel"]) == (0, "device")


async def test_channels_of_users_are_listed_when_asked_for(api: ApiClient) -> None:
    api.enroll("one")
    user = EnrollmentID(id="one:yuki", parent_id="one", type=EnrollmentType.USER)
    update = TokenUpdate(enrollment=user, topic=TOPIC, push_magic="magic", token=b"token")
    with api.database() as db, db:
        enrollments.complete(db, update, NOW)
    for channel, expected in (
        ("device", ["one"]), ("user", ["one:yuki"]), ("all", ["one", "one:yuki"]),
    ):  # fmt: skip
        page = (await api.call("GET", DEVICES, params={"channel": channel})).json
        assert [device["id"] for device in page["items"]] == expected


async def test_pages_follow_each_other_without_gap(api: ApiClient) -> None:
    names = [api.enroll(f"device-{number:02}") for number in range(7)]
    seen, cursor = [], ""
    while cursor is not None:
        query = f"?limit=3&cursor={cursor}" if cursor else "?limit=3"
        page = (await api.call("GET", DEVICES + query)).json
        seen += [device["id"] for device in page["items"]]
        cursor = page["next_cursor"]
    assert seen == names


async def test_the_query_finds_by_serial_number_and_name(api: ApiClient) -> None:
    api.enroll("one")
    api.enroll("two", platform="iPhone")
    for query, expected in (("serial-two", ["two"]), ("mac", ["one"]), ("%", []), ("_", [])):
        page = (await api.call("GET", DEVICES, params={"q": query})).json
        assert [device["id"] for device in page["items"]] == expected, query


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=-1", "limit=x", "colour=red", "channel=x"]
)
async def test_d27_a_bad_query_is_refused_by_name(api: ApiClient, query: str) -> None:
    answer = await api.call("GET", f"{DEVICES}?{query}")
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == f"?{query.partition('=')[0]}"


async def test_d27_a_forged_cursor_is_harmless(api: ApiClient) -> None:
    api.enroll("one")
    for cursor in ("%", "' OR 1=1 --", "-1", "9" * 30):
        for path in (DEVICES, f"{DEVICES}/one/commands", f"{DEVICES}/one/events"):
            answer = await api.call("GET", path, params={"cursor": cursor})
            assert answer.status in (200, 400, 422), (cursor, path)


async def test_one_device_is_found_by_id_and_by_serial_number(api: ApiClient) -> None:
    api.enroll("one")
    for name in ("one", "SERIAL-one"):
        device = (await api.call("GET", f"{DEVICES}/{name}")).json
        assert device["id"] == "one"
        assert device["facts"]["platform"] == "macOS"
        assert device["certificate_serial"] == b"one".hex()


async def test_an_unknown_device_is_404_with_its_name(api: ApiClient) -> None:
    for verb in ("", "/commands", "/events"):
        answer = await api.call("GET", f"{DEVICES}/nobody{verb}")
        assert (answer.status, answer.json["code"]) == (404, "device.not_found")
        assert "nobody" in answer.json["detail"]
        assert answer.json["request_id"]


async def test_block_unblock_and_forget_show_in_the_state(api: ApiClient) -> None:
    api.enroll("one")
    for verb, state in (("block", "blocked"), ("unblock", "enrolled"), ("forget", "forgotten")):
        answer = await api.call("POST", f"{DEVICES}/one/{verb}")
        assert (answer.status, answer.json["state"]) == (200, state)
        assert (await api.call("GET", f"{DEVICES}/one")).json["state"] == state
    events = (await api.call("GET", f"{DEVICES}/one/events")).json["items"]
    assert {"device.blocked", "device.unblocked", "device.forgotten"} <= {
        event["kind"] for event in events
    }


@pytest.mark.parametrize("verb", ["block", "unblock", "forget"])
async def test_what_was_decided_already_is_no_news(api: ApiClient, verb: str) -> None:
    name = api.enroll("one")
    if verb == "unblock":
        await api.call("POST", f"{DEVICES}/{name}/block")
    for _ in range(2):
        assert (await api.call("POST", f"{DEVICES}/{name}/{verb}")).status in (200, 204)
    events = (await api.call("GET", f"{DEVICES}/{name}/events")).json["items"]
    news = [event["kind"] for event in events]
    assert len(news) == len(set(news)), news


async def test_blocking_needs_an_administrator(api: ApiClient) -> None:
    api.enroll("one")
    token = await api.new_token("write")
    assert (await api.call("POST", f"{DEVICES}/one/block", token=token)).status == 403
    assert (await api.call("GET", f"{DEVICES}/one")).json["state"] == "enrolled"


async def test_reenrollment_is_allowed_for_minutes(api: ApiClient) -> None:
    api.enroll("one")
    path = f"{DEVICES}/one/allow-reenrollment"
    assert (await api.call("POST", path)).status == 200
    assert (await api.call("POST", path, {"minutes": 5})).status == 200
    answer = await api.call("POST", path, {"minutes": 0})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/minutes")
