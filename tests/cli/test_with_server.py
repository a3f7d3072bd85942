"""The command line against a running server and a device that has enrolled."""

from __future__ import annotations

import asyncio
import json
import plistlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.device.device import Device
from tests.device.server import Api, RunningServer

from .conftest import Cli


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that lets devices enroll without a push certificate."""
    topic = f"com.apple.mgmt.External.{uuid.uuid4()}"
    environment = {"APPLIANCE_ENROLL__LAB_TOPIC": topic}
    running = RunningServer(tmp_path_factory.mktemp("cli") / "data", environment=environment)
    running.initialise()
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def enrolled(server: RunningServer) -> tuple[str, str]:
    """The enrollment ID and the serial number of a fresh device."""

    async def enroll() -> tuple[str, str]:
        async with server.session() as session:
            device = await Api(server, session).enroll()
            return device.id, device.serial_number

    return asyncio.run(enroll())


def answer_all(server: RunningServer, arguments: list[str], **answers: Any) -> tuple[int, Any]:
    """Run a command beside a device that acknowledges whatever it is sent."""

    async def run() -> tuple[int, Any]:
        async with server.session() as session:
            device: Device = await Api(server, session).enroll()
            command = [word.replace("DEVICE", device.id) for word in arguments]
            running = asyncio.create_task(asyncio.to_thread(server.cli, *command, check=False))
            while not running.done():
                reply = await device.idle()
                if reply.command is not None:
                    await device.acknowledge(reply.command, **answers)
                await asyncio.sleep(0.05)
            done = await running
            return done.returncode, done.stdout

    return asyncio.run(run())


def test_devices_are_listed_and_shown(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    enrollment_id, serial = enrolled
    listed = run("device", "list", serial, "--data", server.data)
    assert listed.status == 0
    assert enrollment_id in listed.out
    shown = run("device", "show", serial, "--json", "--data", server.data).json
    assert (shown["id"], shown["state"]) == (enrollment_id, "enrolled")
    assert run("device", "show", "nobody", "--data", server.data).status == 6


def test_what_happened_to_a_device_is_listed(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    listed = run("device", "events", enrolled[1], "--data", server.data)
    assert listed.status == 0
    assert "enrolled" in listed.out
    items = run("device", "events", enrolled[1], "--json", "--data", server.data).json["items"]
    assert {item["enrollment_id"] for item in items} == {enrolled[0]}


def test_the_list_in_json_is_what_the_api_says(run: Cli, server: RunningServer) -> None:
    listed = run("device", "list", "--json", "--limit", 1, "--data", server.data).json
    assert set(listed) == {"items", "next_cursor"}
    assert len(listed["items"]) <= 1


def test_a_command_waits_for_its_answer(server: RunningServer) -> None:
    arguments = ["command", "send", "DEVICE", "ProfileList", "--wait", "20", "--json"]
    status, out = answer_all(server, arguments, ProfileList=[])
    assert status == 0
    (command,) = json.loads(out)["commands"]
    assert command["status"] == "acknowledged"
    assert command["result"]["ProfileList"] == []


def test_a_silent_device_makes_the_command_time_out(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    done = run(
        "command", "send", enrolled[0], "ProfileList", "--wait", "0.2", "--data", server.data
    )
    assert done.status == 10


def test_a_command_is_sent_shown_and_cancelled(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    sent = run(
        "command", "send", enrolled[1], "DeviceInformation", "-p", "Queries=OSVersion",
        "-p", "Queries=DeviceName", "--no-push", "--data", server.data,
    )  # fmt: skip
    assert sent.status == 0
    (command_uuid,) = sent.out.split()
    shown = run("command", "show", command_uuid, "--json", "--data", server.data).json
    assert (shown["target"], shown["status"]) == (enrolled[0], "queued")
    assert command_uuid in run("device", "history", enrolled[0], "--data", server.data).out
    assert run("command", "cancel", command_uuid, "--data", server.data).status == 0
    assert run("command", "cancel", command_uuid, "--data", server.data).status == 7


def test_a_raw_plist_is_sent(
    run: Cli, server: RunningServer, enrolled: tuple[str, str], tmp_path: Path
) -> None:
    command_uuid = str(uuid.uuid4())
    raw = {"Command": {"RequestType": "ProfileList"}, "CommandUUID": command_uuid}
    (tmp_path / "c.plist").write_bytes(plistlib.dumps(raw))
    arguments = ("--plist", tmp_path / "c.plist", "--json", "--data", server.data)
    sent = run("command", "send", enrolled[0], *arguments)
    assert sent.json["commands"][0]["id"] == command_uuid
    assert run("command", "send", enrolled[0], "ProfileList", *arguments).status == 7, "same UUID"


def test_a_dangerous_command_wants_the_serial_number(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    arguments = ("command", "send", enrolled[0], "EraseDevice", "-p", "PIN=123456")
    refused = run(*arguments, "--data", server.data)
    assert (refused.status, refused.out) == (11, "")
    assert "--confirm" in refused.err
    assert "error[command.confirmation_required]" in refused.err
    assert run(*arguments, "--confirm", enrolled[1], "--data", server.data).status == 0


def test_d_22_secrets_are_shown_to_who_says_why(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    order = ["command", "send", enrolled[1], "DeviceLock", "-p", "PIN=918273"]
    sent = run(*order, "--confirm", enrolled[1], "--data", server.data)
    command_uuid = sent.out.strip()
    assert "918273" not in run("command", "show", command_uuid, "--data", server.data).out
    unsaid = run("command", "secrets", command_uuid, "--data", server.data)
    assert unsaid.status != 0
    assert "--reason" in unsaid.err
    shown = run("command", "secrets", command_uuid, "--reason", "locked", "--data", server.data)
    assert '"PIN": "918273"' in shown.out
    assert run("command", "cancel", command_uuid, "--data", server.data).status == 0


def test_a_wrong_parameter_is_named(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    done = run(
        "command", "send", enrolled[0], "InstallProfile", "-p", "Paylod=x", "--data", server.data
    )
    assert done.status == 2
    assert "Paylod" in done.err
    assert "fix: did you mean Payload?" in done.err


def test_a_device_is_blocked_unblocked_and_forgotten(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    for verb, state in (("block", "blocked"), ("unblock", "enrolled"), ("forget", "forgotten")):
        done = run("device", verb, enrolled[0], "--json", "--data", server.data)
        assert (done.status, done.json["state"]) == (0, state)


def test_an_identity_is_revoked(run: Cli, server: RunningServer, enrolled: tuple[str, str]) -> None:
    done = run("ca", "revoke", enrolled[0], "--json", "--data", server.data)
    assert done.status == 0
    assert run("ca", "status", "--json", "--data", server.data).json["revoked"] >= 1


def test_a_profile_is_written_for_one_device(
    run: Cli, server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "enroll.mobileconfig"
    assert run("enroll", "profile", "-o", file, "--data", server.data).status == 0
    assert file.stat().st_mode & 0o077 == 0, "its challenge is for one device, not for all users"
    assert b"com.apple.mdm" in file.read_bytes()
    links = run("enroll", "list", "--json", "--data", server.data).json
    refused = run("enroll", "profile", "-o", tmp_path / "no" / "file", "--data", server.data)
    assert (refused.status, "there is no directory" in refused.err) == (2, True)
    assert run("enroll", "list", "--json", "--data", server.data).json == links


def test_the_status_fits_on_one_screen(run: Cli, server: RunningServer) -> None:
    done = run("status", "--data", server.data)
    assert done.status == 0
    assert server.url in done.out
    assert "problem: " in done.err
    assert run("tls", "status", "--json", "--data", server.data).json["url"] == server.url


def test_request_types_are_listed(run: Cli, server: RunningServer) -> None:
    assert "EraseDevice!" in run("command", "types", "--data", server.data).out
    only = run("command", "types", "lostmode", "--json", "--data", server.data).json["items"]
    assert {item["request_type"] for item in only} == {
        "DisableLostMode", "EnableLostMode", "PlayLostModeSound",
    }  # fmt: skip


def test_an_authority_is_trusted_as_der_too(
    run: Cli, server: RunningServer, tmp_path: Path
) -> None:
    pem = (server.data / "keys" / "ca.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    told = []
    for content in (certificate.public_bytes(Encoding.DER), "Größe\n".encode("latin-1") + pem):
        (tmp_path / "ca").write_bytes(content)
        trusted = run("migration", "trust", tmp_path / "ca", "--json", "--data", server.data)
        told += [item["fingerprint_sha256"] for item in trusted.json["items"]]
    assert told == [certificate.fingerprint(SHA256()).hex()] * 2
    assert run("migration", "distrust", told[0], "--data", server.data).status == 0
    (tmp_path / "ca").write_bytes(b"\x30\x82\x01\xff\xfe")
    refused = run("migration", "trust", tmp_path / "ca", "--data", server.data)
    assert (refused.status, "certificate" in refused.err) == (2, True), refused
    assert "Traceback" not in refused.err


def test_a_second_server_on_the_directory_names_the_first(server: RunningServer) -> None:
    done = server.cli("serve", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode == 1
    assert server.process is not None
    assert str(server.process.pid) in done.stderr


def test_a_held_command_is_undone(
    run: Cli, server: RunningServer, enrolled: tuple[str, str]
) -> None:
    enrollment_id, serial = enrolled
    data = ("--data", server.data)
    order = ("EraseDevice", "-p", "PIN=123456", "--confirm", serial, "--reason", "lost")
    sent = run("command", "send", enrollment_id, *order, "--undo", "30", *data)
    assert sent.status == 0
    uuid_ = sent.out.strip()
    assert f"command cancel {uuid_}" in sent.err
    assert run("command", "cancel", uuid_, *data).status == 0
    shown = run("command", "show", uuid_, "--json", *data).json
    assert (shown["status"], shown["connected_at"]) == ("cancelled", None)
    assert run("command", "send", enrollment_id, "ProfileList", "--undo", "61", *data).status == 2
