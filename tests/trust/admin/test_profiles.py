"""Profiles that are handed in to be installed: large, hostile, and of other people."""

from __future__ import annotations

import asyncio
import base64
import io
import plistlib
import time
import zipfile
from pathlib import Path

import aiohttp
import pytest

from appliance.services.vault import Vault
from appliance.simulator import cms, keys
from appliance.web.cookies import SESSION_COOKIE
from tests.web.api_client import ApiClient
from tests.web.board.conftest import Office, office
from tests.web.browser import Shown

__all__ = ["office"]

FORM = "/devices/one/send/InstallProfile"
COMMANDS = "/api/v1/commands"
SECONDS = 30
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}")


def profile(name: str) -> bytes:
    return plistlib.dumps({
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": f"com.{name}",
        "PayloadUUID": "2F4B0C5E-7B0E-4D7C-9A57-0A9F7D1B2C3D", "PayloadDisplayName": name,
        "PayloadDescription": name, "PayloadOrganization": name, "PayloadContent": [],
    })  # fmt: skip


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("../../../../tmp/outside", b"x")
    return packed.getvalue()


def bomb() -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "boom"}">' for n in range(12))
    body = "<dict><key>PayloadIdentifier</key><string>&a11;</string></dict>"
    return f'<?xml version="1.0"?><!DOCTYPE plist [{entities}]><plist>{body}</plist>'.encode()


async def upload(office: Office, content: bytes, filename: str) -> Shown:
    session = await office.browser.session()
    assert session is not None
    form = aiohttp.FormData()
    form.add_field("csrf_token", session.csrf_token)
    form.add_field("how", "form")
    form.add_field("file:/Payload", content, filename=filename)
    headers = {"Sec-Fetch-Site": "same-origin"}
    return await office.browser.request("POST", FORM, headers=headers, data=form)


async def test_d_19_a_profile_of_100_mb_is_refused_before_it_has_arrived(office: Office) -> None:
    head = (
        f"POST {FORM} HTTP/1.1\r\nHost: mdm.example.com\r\nSec-Fetch-Site: same-origin\r\n"
        f"Cookie: {SESSION_COOKIE}={office.browser.cookie}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {100 << 20}\r\n\r\n"
    )
    part = '--x\r\nContent-Disposition: form-data; name="file:/Payload"; filename="a"\r\n\r\n'
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", office.browser.client.port)
        writer.write(head.encode() + part.encode() + bytes(8 << 20))
        assert (await reader.readline()).split()[1] == b"413"
        writer.transport.abort()
    assert office.commands() == []


@pytest.mark.parametrize("content", [archive(), bomb(), b"xar!" + bytes(60), b""])
async def test_d_19_what_is_no_profile_is_sent_to_nobody_unasked(
    api: ApiClient, content: bytes
) -> None:
    name = api.enroll("one")
    began = time.thread_time()
    parameters = {"Payload": base64.b64encode(content).decode()}
    order = {"targets": [name], "request_type": "InstallProfile", "parameters": parameters}
    answer = await api.call("POST", COMMANDS, order)
    assert (answer.status, answer.json["code"]) == (422, "command.confirmation_required")
    assert time.thread_time() - began < 0.1


async def test_d_19_a_bomb_by_the_form_is_asked_about_and_takes_no_time(office: Office) -> None:
    began = time.thread_time()
    answer = await upload(office, bomb(), "a.mobileconfig")
    assert answer.status == 422
    assert time.thread_time() - began < 1
    assert office.commands() == []


async def test_d_19_names_in_a_profile_and_of_its_file_are_text_and_no_paths(
    office: Office, config_folder: Path
) -> None:
    before = sorted(path.name for path in config_folder.rglob("*"))
    for number, name in enumerate(HOSTILE):
        answer = await upload(office, profile(name), f"../../../{number}{name}.mobileconfig")
        assert answer.status == 303, answer.text[:500]
    pages = ["/", "/devices", "/devices/one", "/activity"]
    pages += [f"/commands/{uuid}" for _, _, uuid in office.commands()]
    for path in pages:
        shown = await office.open(path)
        for name in HOSTILE:
            assert name not in shown, path
    assert sorted(path.name for path in config_folder.rglob("*")) == before


async def test_d_19_a_profile_that_others_signed_goes_out_as_it_is(office: Office) -> None:
    """Whom to believe is the device's question."""
    signer = cms.Signer(identity=keys.self_signed(keys.name(("CN", "somebody else"))))
    signed = cms.signed_data(profile("signed"), [signer])
    assert (await upload(office, signed, "signed.mobileconfig")).status == 303
    with office.api.database() as db:
        uuid, sealed = db.execute(
            "SELECT uuid, body FROM commands JOIN command_payloads ON command_id = id"
        ).fetchone()
    vault = Vault(office.browser.parts.keys.vault_key)
    payload = vault.open("command", f"{uuid}:one", sealed)
    assert plistlib.loads(payload)["Command"]["Payload"] == signed


@pytest.fixture
def config_folder(office: Office) -> Path:
    """Where the server keeps its files."""
    return office.browser.parts.config.data


@pytest.mark.parametrize(
    "field",
    [
        "Content-Type: text/plain; charset=foo", "Content-Type: text/plain; charset=hex",
        "Content-Transfer-Encoding: foo", "Content-Type: a/b; " + ";" * 2000,
    ],
)  # fmt: skip
async def test_d_19_a_form_that_says_odd_things_of_its_parts_is_refused(
    office: Office, field: str
) -> None:
    part = f'Content-Disposition: form-data; name="csrf_token"\r\n{field}\r\n\r\nx'
    body = f"--B\r\n{part}\r\n--B--\r\n".encode()
    headers = {
        "Content-Type": "multipart/form-data; boundary=B", "Sec-Fetch-Site": "same-origin",
    }  # fmt: skip
    for path in (FORM, "/certificates"):
        shown = await office.browser.request("POST", path, headers=headers, data=body)
        assert shown.status in (400, 403, 422), (path, shown)
