"""Looking from inside, with the server in this process: who holds up the event loop, and lists."""

from __future__ import annotations

import asyncio
import base64
import http.client
import plistlib
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.app import Parts, initialise, running
from appliance.config import Config, ServerConfig
from appliance.simulator import cms, keys
from tests.device.device import CHECK_IN, REPORT
from tests.device.server import free_port
from tests.trust.crowd import Member, seed

from .fleets import Rows

_TURNS = 5
_STEP_SECONDS = 0.001
_TOPIC = "com.apple.mgmt.External.load"
_NAME, _PASSWORD = "administrator", "correct horse battery staple"

_COMMANDS = """
WITH RECURSIVE counter (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n + 1 < :rows),
     fleet (n, id) AS (SELECT row_number() OVER () - 1, id FROM enrollments)
INSERT INTO commands (uuid, enrollment_id, request_type, status, queued_at, finished_at)
SELECT printf('%08x-0000-4000-8000-%012x', counter.n, counter.n), fleet.id, 'DeviceInformation',
       'acknowledged', :now - 100 * (:rows - counter.n), :now
  FROM counter JOIN fleet ON fleet.n = counter.n % :devices
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request; `headers` are added to what every request has."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The running parts, and a client in a thread."""

    parts: Parts
    port: int
    tls: ssl.SSLContext
    members: list[Member]
    cookie: str
    token: str

    def _call(self, call: Call) -> tuple[int, int]:
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=self.tls, timeout=60
        )
        with closing(connection):
            connection.request(call.method, call.path, call.body or None, call.headers or {})
            answer = connection.getresponse()
            return answer.status, len(answer.read())

    async def timed(self, call: Call) -> tuple[int, int, float]:
        """Status, length, and how long it took."""
        began = time.perf_counter()
        status, length = await asyncio.to_thread(self._call, call)
        return status, length, time.perf_counter() - began

    @property
    def signed_in(self) -> dict[str, str]:
        """The headers of a browser."""
        return {"Cookie": f"__Host-appliance={self.cookie}", "Accept": "text/html"}

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of a program."""
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def _inside(folder: Path, *, devices: int, commands: int = 0) -> AsyncIterator[Inside]:
    port = free_port()
    url = f"https://localhost:{port}"
    server = ServerConfig(url=url, listen=(f"127.0.0.1:{port}",))
    config = Config(data=folder / "data", server=server)
    config = replace(config, push=replace(config.push, host="127.0.0.1", port=9))
    await initialise(config)
    members = seed(config.data, _TOPIC, devices)
    if commands:
        _fill(config.data, devices, commands)
    async with running(config) as parts:
        await parts.services.accounts.add_user(_NAME, _PASSWORD)
        session = await parts.services.accounts.sign_in(_NAME, _PASSWORD, None)
        _, token = await parts.services.tokens.create("load", ["read", "write", "admin"])
        yield Inside(
            parts=parts,
            port=port,
            tls=ssl.create_default_context(cafile=str(config.data / "keys/root.pem")),
            members=members,
            cookie=session.token,
            token=token,
        )


def _fill(data: Path, devices: int, rows: int) -> None:
    with closing(sqlite3.connect(data / "appliance.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA cache_size = -262144")
        now = int(time.time() * 1000)
        db.execute(_COMMANDS, {"rows": rows, "devices": devices, "now": now})
        db.execute(
            "INSERT INTO command_payloads (command_id, body) SELECT id, zeroblob(520) FROM commands"
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


async def lists(folder: Path, *, devices: int, commands: int) -> Rows:
    """How long lists and pages take with a long history: the median of a few."""
    rows = {}
    async with _inside(folder, devices=devices, commands=commands) as on:
        one = on.members[devices // 2].udid
        for call in (
            *(
                Call(method="GET", path=path, headers=on.bearer)
                for path in (
                    "/api/v1/devices",
                    "/api/v1/devices?limit=500",
                    "/api/v1/devices?q=4000",
                    f"/api/v1/devices/{one}/commands",
                    "/api/v1/status",
                )
            ),
            *(
                Call(method="GET", path=path, headers=on.signed_in)
                for path in ("/", "/devices", f"/devices/{one}", "/certificates", "/activity")
            ),
        ):
            found = [await on.timed(call) for _ in range(_TURNS)]
            status, length, _ = found[0]
            took = sorted(seconds for _, _, seconds in found)[_TURNS // 2]
            path = call.path.replace(one, "ID")
            rows[f"GET {path}"] = f"{status}, {length / 1024:.0f} KB, {took * 1000:.0f} ms"
    return rows


async def blocks(folder: Path, *, devices: int) -> Rows:
    """The longest that the event loop is held by one request: the shortest of some attempts."""
    rows = {}
    async with _inside(folder, devices=devices) as on:
        for name, make in _worst(on).items():
            longest = []
            status = 0
            for _ in range(_TURNS):
                call = make()
                watch = asyncio.create_task(_longest_gap())
                await asyncio.sleep(0.05)
                status, _, _ = await on.timed(call)
                await asyncio.sleep(0.05)
                watch.cancel()
                longest.append(await watch)
            rows[name] = f"{min(longest) * 1000:.1f} ms (median {sorted(longest)[2] * 1000:.1f}, "
            rows[name] += f"answered {status})"
    return rows


async def _longest_gap() -> float:
    longest, last = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(_STEP_SECONDS)
            now = time.perf_counter()
            longest, last = max(longest, now - last - _STEP_SECONDS), now
    except asyncio.CancelledError:
        return longest


def _worst(on: Inside) -> dict[str, Callable[[], Call]]:
    stranger = Member(udid="X", identity=keys.self_signed(keys.name(("CN", "stranger"))))
    member = on.members[0]

    def signed(who: Member, body: bytes, kind: str = REPORT) -> Call:
        signature = base64.b64encode(cms.sign_body(body, who.identity)).decode()
        headers = {"Mdm-Signature": signature, "Content-Type": kind}
        return Call(method="PUT", path="/mdm", body=body, headers=headers)

    comment = b"<plist><!--" + b"x" * ((1 << 20) - 64) + b"--></plist>"
    dense = b"<plist><array>" + b"<true/>" * 4600 + b"</array></plist>"  # just not for a thread
    many = b"<plist><array>" + b"<true/>" * 590_000 + b"</array></plist>"
    form = f"name={_NAME}&password=a+wrong+password".encode()
    return {
        "nothing (the harness itself)": lambda: Call(method="GET", path="/healthz"),
        "stranger: 1 MiB of comment as a check-in": lambda: signed(stranger, comment, CHECK_IN),
        "stranger: 32 KB of elements": lambda: signed(stranger, dense),
        "stranger: 4 MiB of elements": lambda: signed(stranger, many),
        "stranger: 60 KB of Mdm-Signature": lambda: Call(
            method="PUT", path="/mdm", body=b"<plist/>", headers={"Mdm-Signature": "MIIB" * 15_000}
        ),
        "stranger: SCEP with a key of 4096 bits": lambda: _scep(on),
        "stranger: signing in (Argon2)": lambda: Call(
            method="POST",
            path="/login",
            body=form,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Sec-Fetch-Site": "same-origin",
            },
        ),
        "device: 4 MiB of installed applications": lambda: signed(member, _applications(member)),
        **{
            f"administrator: GET {path.replace(member.udid, 'ID')}": _get(path, headers)
            for headers, paths in (
                (
                    on.bearer,
                    (
                        "/api/v1/devices?limit=500",
                        "/api/v1/status",
                        "/metrics",
                        "/api/openapi.json",
                    ),
                ),
                (on.signed_in, ("/", "/devices", f"/devices/{member.udid}", "/certificates")),
            )
            for path in paths
        },
    }


def _get(path: str, headers: dict[str, str]) -> Callable[[], Call]:
    return lambda: Call(method="GET", path=path, headers=headers)


def _applications(member: Member) -> bytes:
    entry = {
        "Identifier": "com.example.application", "Name": "An Application", "Version": "1.2.3",
        "ShortVersion": "1.2", "BundleSize": 123_456_789, "Installing": False,
    }  # fmt: skip
    return plistlib.dumps(
        {
            "Status": "Acknowledged",
            "UDID": member.udid,
            "CommandUUID": "00000000-0000-4000-8000-000000000000",
            "InstalledApplicationList": [entry] * 9_500,
        }
    )


def _scep(on: Inside) -> Call:
    key = keys.rsa_key(4096)
    from benchmarks.scep import pkcs_req, self_signed

    message = pkcs_req(
        key,
        self_signed(key, "stranger"),
        on.parts.keys.ca_certificate,
        name="stranger",
        challenge="wrong",
    )
    headers = {"Content-Type": "application/x-pki-message"}
    return Call(method="POST", path="/scep?operation=PKIOperation", body=message, headers=headers)
