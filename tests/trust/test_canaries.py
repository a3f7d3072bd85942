"""Thirty secrets go in by every way there is; none of them can be read outside of sealed columns.

What stays readable at rest, and why (the contract's rule 7 seals what unlocks a device):

- push token and push magic: needed with every push, and of no use without the push key;
- the code of an enrollment link: shown again to administrators, and void after its uses;
- `keys/`: the private keys themselves, for the owner alone; a backup encrypts them;
- names, labels and reasons that people write.
"""

from __future__ import annotations

import asyncio
import base64
import json
import plistlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from appliance.simulator import cms
from appliance.simulator.profile import Profile
from appliance.web.api import OPERATIONS
from appliance.web.cookies import SESSION_COOKIE
from tests.device.device import Device
from tests.device.receiver import Receiver, receiver
from tests.device.server import SCOPES, Api, RunningServer, lab_push_certificate
from tests.trust.canaries import Canaries

__all__ = ["receiver"]

MAC = {"PayloadType": "com.apple.wifi.managed", "SSID_STR": "HQ"}
IPHONE = {"Model": "MTQ93", "ModelName": "iPhone", "ProductName": "iPhone15,2", "OSVersion": "17.5"}


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[RunningServer]:
    """A server that says as much as it can in its log, and by webhook."""
    environment = {"APPLIANCE_LOG__LEVEL": "debug", "APPLIANCE_WEBHOOK__URLS": receiver.url}
    running = RunningServer(tmp_path / "data", environment=environment)
    yield running
    if running.process is not None:
        running.stop()


class People:
    """What administrators do with the page, the command line and tokens."""

    def __init__(self, api: Api, canaries: Canaries) -> None:
        self.api = api
        self.canaries = canaries
        self.ids: dict[str, str] = {}

    async def sign_in(self, setup_code: str) -> None:
        """The first account, wrong and right passwords, one-time codes, and a session left open."""
        password = self.canaries.text("password")
        fields = {"code": setup_code, "name": "Aki", "password": password, "again": password}
        await self._form("/setup", {**fields, "code": self.canaries.text("wrong setup code")}, 403)
        await self._form("/setup", fields, 303)
        await self._form("/login", {"name": "Aki", "password": self.canaries.text("wrong")}, 403)
        await self._form("/login", {"name": self.canaries.text("as name"), "password": "x"}, 403)
        for name in ("used sign-in code", "unused sign-in code"):
            code = (await self.api.post("/api/v1/sign-in-codes", {"user": "Aki"})).json["code"]
            self.canaries.keep(name, code)
        used = self.canaries.all["used sign-in code"].decode()
        await self._form("/login", {"code": used}, 303)
        session = await self._form("/login", {"name": "Aki", "password": password}, 303)
        self.canaries.keep("session cookie", session)
        await self._page(session)

    async def _form(self, path: str, fields: dict[str, str], status: int) -> str:
        headers = {"Sec-Fetch-Site": "same-origin"}
        async with self.api.session.post(
            self.api.server.url + path, data=fields, headers=headers, allow_redirects=False
        ) as response:
            assert response.status == status, (path, await response.text())
            self.api.session.cookie_jar.clear()
            cookie = response.cookies.get(SESSION_COOKIE)
            return "" if cookie is None else cookie.value

    async def _page(self, session: str) -> None:
        headers = {"Cookie": f"{SESSION_COOKIE}={session}"}
        url = self.api.server.url + "/enrollment"
        async with self.api.session.get(url, headers=headers) as response:
            token = re.search(r'name="csrf_token" value="([^"]+)"', await response.text())
        assert token is not None
        self.canaries.keep("CSRF token", token[1])

    async def make_tokens(self) -> None:
        """Another user, tokens in force and revoked, and a token where it must not be."""
        password = self.canaries.text("password by API")
        await self.api.post("/api/v1/users", {"name": "Ben", "password": password})
        for name in ("API token", "revoked API token"):
            made = await self.api.post("/api/v1/tokens", {"name": name, "scopes": ["read"]})
            self.canaries.keep(name, made.json["token"].split("_", 2)[2])
        await self.api.delete("/api/v1/tokens/revoked API token")
        self.canaries.keep("token of the command line", self.api.token.split("_", 2)[2])
        in_query = self.canaries.text("token in a query")
        refused = await self.api.get(f"/api/v1/devices?token={quote(in_query)}")
        assert refused.status == 422
        basic = base64.b64encode(f"nanomdm:{self.canaries.text('basic password')}".encode())
        headers = {"Authorization": f"Basic {basic.decode()}"}
        async with self.api.session.get(
            self.api.server.url + "/v1/pushcert", headers=headers
        ) as response:
            assert response.status == 401

    async def import_push_certificate(self) -> None:
        """As PKCS#12, with its password; once with a wrong one."""
        identity = lab_push_certificate(self.api.server.topic)
        key = identity.key
        assert isinstance(key, rsa.RSAPrivateKey)
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self.canaries.keep("push key", der[-200:-100])
        self.canaries.keep("push key in PEM", base64.b64encode(der)[640:700])
        password = self.canaries.text("password of the push key")
        content = pkcs12.serialize_key_and_certificates(
            b"push", key, identity.certificate, None, BestAvailableEncryption(password.encode())
        )
        body = {"pkcs12": base64.b64encode(content).decode()}
        wrong = {**body, "password": self.canaries.text("wrong password of the push key")}
        assert (await self.api.put("/api/v1/push-certificate", wrong)).status == 422
        right = {**body, "password": password}
        answer = await self.api.put("/api/v1/push-certificate", right)
        assert answer.status == 200, answer


class Fleet:
    """Devices with secrets: one that takes its commands, one that leaves them, an iPhone."""

    def __init__(self, api: Api, canaries: Canaries) -> None:
        self.api = api
        self.canaries = canaries
        self.devices: list[Device] = []
        self.commands: list[str] = []

    async def enroll(self) -> None:
        """Challenges, a bootstrap token and an unlock token."""
        link = await self.api.new_link()
        async with self.api.session.get(f"{link.url}/ota.mobileconfig") as response:
            service = plistlib.loads(cms.verify(await response.read()).content or b"")
        self.canaries.keep("challenge over the air", service["PayloadContent"]["Challenge"])
        unused = Profile.read(await self.api.profile()).scep["Challenge"]
        self.canaries.keep("unused SCEP challenge", unused)
        for _ in range(3):
            self.devices.append(await self.api.enroll(Device(self.api.session)))
        first, _, phone = self.devices
        assert first.profile is not None
        self.canaries.keep("used SCEP challenge", first.profile.scep["Challenge"])
        await first.set_bootstrap_token(self.canaries.data("archived bootstrap token"))
        await first.set_bootstrap_token(self.canaries.data("bootstrap token"))
        await phone.authenticate(**IPHONE)
        await phone.token_update(UnlockToken=self.canaries.data("unlock token"))

    async def command(self, device: Device, when: str) -> None:
        """Everything secret that can be ordered."""
        password_hash = base64.b64encode(self.canaries.data(f"password hash, {when}")).decode()
        orders: list[tuple[str, dict[str, Any]]] = [
            ("DeviceLock", {"PIN": self.canaries.pin(f"lock PIN, {when}")}),
            ("EraseDevice", {"PIN": self.canaries.pin(f"erase PIN, {when}")}),
            ("SetRecoveryLock", {"NewPassword": self.canaries.text(f"recovery lock, {when}")}),
            ("RotateFileVaultKey", {
                "KeyType": "personal",
                "FileVaultUnlock": {"Password": self.canaries.text(f"FileVault, {when}")},
            }),
            ("AccountConfiguration", {"AutoSetupAdminAccounts": [
                {"shortName": "admin", "passwordHash": password_hash},
            ]}),
            ("InstallProfile", {"Payload": base64.b64encode(self._profile(when)).decode()}),
        ]  # fmt: skip
        confirm = {"serial_number": device.serial_number}
        for request_type, parameters in orders:
            self.commands.append(
                await self.api.queue(
                    device.id, request_type, parameters=parameters, confirm=confirm
                )
            )
        wrong = {"PIN": self.canaries.text(f"PIN in a refused order, {when}")}
        body = {"targets": [device.id], "request_type": "DeviceLock", "parameters": wrong}
        assert (await self.api.post("/api/v1/commands", body)).status == 422

    def _profile(self, when: str) -> bytes:
        wifi = {**MAC, "Password": self.canaries.text(f"Wi-Fi password, {when}")}
        return plistlib.dumps({"PayloadType": "Configuration", "PayloadContent": [wifi]})

    async def answer(self) -> None:
        """Take the commands, and give secrets back."""
        first, _, phone = self.devices
        command = (await first.idle()).command
        while command:
            result = {"RotateResult": {"RecoveryKey": self.canaries.text("new FileVault key")}}
            keys = result if command.request_type == "RotateFileVaultKey" else {}
            command = (await first.acknowledge(command, **keys)).command
        answers: list[tuple[str, dict[str, Any]]] = [
            ("RequestUnlockToken", {"UnlockToken": self.canaries.data("answered unlock token")}),
            ("ActivationLockBypassCode", {
                "ActivationLockBypassCode": self.canaries.text("bypass code"),
            }),
            ("SecurityInfo", {"SecurityInfo": {"BypassCode": self.canaries.text("unasked code")}}),
        ]  # fmt: skip
        for request_type, keys in answers:
            self.commands.append(await self.api.queue(phone.id, request_type))
            command = (await phone.idle()).command
            assert command is not None
            await phone.acknowledge(command, **keys)


async def shown(api: Api, fleet: Fleet) -> bytes:
    """All that a token without the scope `secrets` can read."""
    made = await api.post("/api/v1/tokens", {"name": "reader", "scopes": ["admin", "danger"]})
    reader = Api(api.server, api.session)
    reader.token = made.json["token"]
    paths = ["/metrics", "/readyz", "/version", "/api/openapi.json"]
    for operation in OPERATIONS:
        if operation.method != "GET" or operation.path == "/api/v1/events":
            continue
        if "{code}" in operation.path:
            continue  # a profile with a challenge of its own: it is made to be handed out
        names = fleet.commands if "{uuid}" in operation.path else [d.id for d in fleet.devices]
        if operation.path.startswith("/api/v1/webhooks/"):
            names = [one["id"] for one in (await reader.get("/api/v1/webhooks")).json["items"]]
        paths += {re.sub(r"{\w+}", name, operation.path) for name in names}
    texts = []
    for path in paths:
        answer = await reader.get(path)
        assert answer.status == 200, (path, answer)
        texts.append(answer.text)
    return "\n".join(texts).encode()


async def everything(server: RunningServer, setup_code: str, canaries: Canaries) -> bytes:
    """Put the secrets in; returns what can be read through the API."""
    async with server.session() as session:
        api = Api(server, session)
        people, fleet = People(api, canaries), Fleet(api, canaries)
        await people.sign_in(setup_code)
        await people.make_tokens()
        await people.import_push_certificate()
        await fleet.enroll()
        for device, when in zip(fleet.devices, ("answered", "waiting"), strict=False):
            await fleet.command(device, when)
        await fleet.answer()
        return await shown(api, fleet)


def files(server: RunningServer) -> dict[str, bytes]:
    """What the server has written, `keys/` left out, and what other users see of its process."""
    assert server.process is not None
    found = {
        str(path.relative_to(server.data)): path.read_bytes()
        for path in server.data.rglob("*")
        if path.is_file() and path.parent.name != "keys"
    }
    process = Path(f"/proc/{server.process.pid}")
    found["log"] = server.log.read_bytes()
    found["environment"] = (process / "environ").read_bytes()
    found["command line"] = (process / "cmdline").read_bytes()
    return found


def told(receiver: Receiver) -> bytes:
    """Everything that was sent by webhook, the device's messages read."""
    assert {"mdm.TokenUpdate", "mdm.SetBootstrapToken", "mdm.Connect"} <= set(receiver.topics)
    return b"\n".join(part for one in receiver.received for part in (one.body, one.payload))


def test_no_secret_is_found_outside_of_sealed_columns(
    server: RunningServer, receiver: Receiver
) -> None:
    canaries = Canaries()
    made = json.loads(server.cli("init", "--url", server.url, "--json").stdout)
    canaries.keep("setup code", made["setup_code"])
    canaries.keep("setup code, typed", made["setup_code"].replace("-", "").lower())
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    server.token = json.loads(server.cli("token", "create", "t", *scopes, "--json").stdout)["token"]
    server.start()
    read = asyncio.run(everything(server, made["setup_code"], canaries))
    for name in ("vault", "ca", "root", "tls"):
        key = (server.data / "keys" / f"{name}.key").read_bytes()
        canaries.keep(f"keys/{name}.key", key if name == "vault" else b"".join(key.split())[80:140])
    assert len(canaries.all) >= 30
    canaries.keep("backup key", made["backup_key"])
    for verb in (
        ("backup", "create"), ("status",), ("device", "list"), ("user", "list"), ("token", "list"),
    ):  # fmt: skip
        read += server.cli(*verb).stdout.encode()
    while json.loads(server.cli("webhook", "list", "--json").stdout)["items"][0]["waiting"]:
        time.sleep(0.1)
    places = {**files(server), "what is shown": read, "what webhooks say": told(receiver)}
    assert {"appliance.db", "appliance.db-wal", "log", "environment"} <= places.keys()
    assert any(name.startswith("backups/") for name in places)
    leaks = {place: canaries.found_in(content) for place, content in places.items()}
    assert {place: names for place, names in leaks.items() if names} == {}


def test_a_canary_would_be_found_in_every_form() -> None:
    canaries = Canaries()
    secret = canaries.text("secret").encode()
    for before in (b"", b"a", b"ab"):
        for content in (
            before + secret,
            (before + secret).hex().upper().encode(),
            base64.b64encode(before + secret + b"following"),
            plistlib.dumps({"a": before + plistlib.dumps({"b": secret.decode()}) + b"following"}),
            json.dumps({"a": secret.decode()}).encode(),
            quote(before + secret).encode(),
        ):
            assert canaries.found_in(b"x" + content) == ["secret"], content
    assert canaries.found_in(b"nothing") == []
