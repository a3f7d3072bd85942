"""Receivers of webhooks at their worst: bounded, each for itself, and devices do not notice."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.config.webhook import WebhookConfig
from appliance.errors import ConfigError
from appliance.mdm.command import parse_result
from appliance.outbound import Answered, Outcome, Poster, Unreachable
from appliance.services.senders import Senders
from appliance.services.vault import Vault
from appliance.services.webhooks import WebhookService
from appliance.simulator.apns_certificates import ApnsAuthority
from appliance.store.database import Connection, Database
from appliance.wire.plist import Plist, dumps
from tests.device.device import Device
from tests.device.fixtures import start_server
from tests.device.receiver import (
    Behaviour,
    Huge,
    Receiver,
    answer,
    drip_body,
    drip_head,
    hang,
    receiver,
    receiving,
)
from tests.device.server import Api, RunningServer, free_port

__all__ = ["receiver"]

VAULT = Vault(bytes(32))
_QUEUE = 10_000
_ROUNDS = 40


@asynccontextmanager
async def poster(**options: Any) -> AsyncIterator[Poster]:
    """What sends, with a second instead of ten."""
    settings = {
        "timeout_seconds": 1.0, "allow_private": True, "at_once": 2,
        "tls": ssl.create_default_context(), **options,
    }  # fmt: skip
    poster = Poster(**settings)
    try:
        yield poster
    finally:
        await poster.close()


async def post(url: str, **options: Any) -> Outcome:
    """Send once; it never takes much longer than it may."""
    async with poster(**options) as sender:
        began = time.monotonic()
        outcome = await sender.post(url, b"{}", {})
        assert time.monotonic() - began < 2
        return outcome


def test_f06_no_delivery_may_take_longer_than_ten_seconds() -> None:
    assert WebhookConfig().timeout_seconds == 10
    with pytest.raises(ConfigError):
        WebhookConfig(timeout="11s")


@pytest.mark.parametrize("behave", [hang, drip_head])
async def test_f06_one_that_hangs_or_answers_a_byte_a_second_is_left(
    receiver: Receiver, behave: Behaviour
) -> None:
    receiver.behave = behave
    assert await post(receiver.url) == Unreachable(reason="no answer within 1 s")


async def test_f06_a_reply_that_drips_is_left_and_its_status_counts(receiver: Receiver) -> None:
    receiver.behave = drip_body
    assert await post(receiver.url, timeout_seconds=5.0) == Answered(status=200)


async def test_f06_of_a_gigabyte_no_more_is_read_than_64_kib(receiver: Receiver) -> None:
    huge = Huge()
    receiver.behave = huge
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await post(receiver.url) == Answered(status=200)
    await asyncio.sleep(0.3)
    # What left the receiver stands in the sockets' buffers of both, a few megabytes at most.
    assert huge.sent < 16 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


@pytest.mark.parametrize("status", [500, 404])
async def test_f06_what_is_no_success_is_told_as_it_is(receiver: Receiver, status: int) -> None:
    receiver.behave = answer(status)
    assert await post(receiver.url) == Answered(status=status)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_f06_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    with receiving() as elsewhere:
        receiver.behave = answer(status, Location=elsewhere.url)
        assert await post(receiver.url) == Answered(status=status)
        assert elsewhere.received == []
        assert len(receiver.received) == 1


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let names lead to these addresses, one after the other."""
    left = iter(addresses)

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(left), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


async def test_f06_a_certificate_that_nobody_vouches_for_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = ApnsAuthority()
    with receiving(tls=server_context(authority, tmp_path)) as receiver:
        outcome = await post(receiver.url)
        assert isinstance(outcome, Unreachable)
        assert "certificate" in outcome.reason
        trusts = ssl.create_default_context(cadata=authority.certificate_pem.decode())
        assert await post(receiver.url, tls=trusts) == Answered(status=200)
        resolve_to(monkeypatch, "127.0.0.1")
        other_name = receiver.url.replace("localhost", "receiver.example")
        outcome = await post(other_name, tls=trusts)
        assert isinstance(outcome, Unreachable), "of another name"
        assert len(receiver.received) == 1


def server_context(authority: ApnsAuthority, folder: Path) -> ssl.SSLContext:
    """A certificate for localhost, of an authority that only this test knows."""
    pair = authority.server()
    file = folder / "receiver.pem"
    file.write_bytes(pair.key_pem + pair.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_f06_one_that_speaks_no_http_gets_nothing_more() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"220 mail.example ESMTP\r\n" * 1000)
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert isinstance(await post(f"http://127.0.0.1:{port}/"), Unreachable)
        assert isinstance(await post(f"https://127.0.0.1:{port}/"), Unreachable)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::]", "[fe80::1]", "[::ffff:169.254.169.254]", "224.0.0.1"]
)
async def test_f06_addresses_of_no_receiver_are_never_connected_to(host: str) -> None:
    outcome = await post(f"http://{host}:{free_port()}/")
    assert isinstance(outcome, Unreachable)
    assert "is no address of a receiver" in outcome.reason


async def test_f06_what_is_checked_is_what_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that led to the internet when it was first asked for, and then to this machine."""
    resolve_to(monkeypatch, "192.0.2.1", "127.0.0.1", "127.0.0.1", "127.0.0.1")
    url = f"http://receiver.example:{receiver.port}/"
    for _ in range(3):
        outcome = await post(url, allow_private=False)
        assert isinstance(outcome, Unreachable), outcome
    assert receiver.received == []
    assert await post(url) == Answered(status=200)


async def test_f06_a_resolver_that_hangs_holds_up_nobody_else(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: Any, **__: Any) -> list[Any]:
        time.sleep(3)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    outcomes = await asyncio.gather(
        *(post(f"http://host-{number}.example/") for number in range(8)),
        asyncio.wait_for(asyncio.to_thread(time.monotonic), 1),
    )
    assert all(isinstance(outcome, Unreachable) for outcome in outcomes[:8])
    assert await post(receiver.url) == Answered(status=200)
    await asyncio.sleep(2.5)  # until the threads have ended


async def test_f06_the_queue_of_a_dead_receiver_is_bounded_and_what_is_dropped_is_counted(
    tmp_path: Path,
) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    config = WebhookConfig(urls=("http://127.0.0.1:9/",))
    senders = Senders(database, config, VAULT)
    service = WebhookService(database, senders)
    await senders.begin()
    body = Plist({"UDID": "A", "Status": "Idle"})
    said, raw = parse_result(body), dumps(body)

    def unit(db: Connection) -> float:
        for number in range(_QUEUE + 50):
            service.tell(db, said, raw, number)
        began = time.monotonic()
        for number in range(100):
            service.tell(db, said, raw, number)
        return (time.monotonic() - began) / 100

    seconds = await database.write(unit)
    (shown,) = await service.listing()
    waiting, dropped = shown.state.waiting, shown.state.dropped
    assert waiting + dropped == _QUEUE + 150
    assert _QUEUE - 100 <= waiting <= _QUEUE
    newest, _ = await service.log(shown.state.id, None, 1, None)
    assert newest[0].id == _QUEUE + 150
    oldest, _ = await service.log(shown.state.id, str(dropped + 2), 1, None)
    assert oldest[0].id == dropped + 1, "the oldest went"
    assert seconds < 0.002, "a full queue costs the transaction next to nothing"
    await database.close()


async def test_f06_a_device_that_says_very_much_takes_the_room_of_no_other(
    tmp_path: Path,
) -> None:
    database = await Database.open(tmp_path / "appliance.db")
    senders = Senders(database, WebhookConfig(urls=("http://127.0.0.1:9/",)), VAULT)
    service = WebhookService(database, senders)
    await senders.begin()

    def tell(db: Connection, name: str, times: int) -> None:
        body = Plist({"UDID": name, "Status": "Idle"})
        said, raw = parse_result(body), dumps(body)
        for number in range(times):
            service.tell(db, said, raw, number)

    def unit(db: Connection) -> dict[str, int]:
        for number in range(20):
            tell(db, f"quiet-{number}", 3)
        tell(db, "loud", 2 * _QUEUE)
        tell(db, "late", 3)
        rows = db.execute("SELECT device_id, count(*) FROM webhook_deliveries GROUP BY device_id")
        return dict(rows.fetchall())

    waiting = await database.write(unit)
    assert waiting.pop("loud") <= _QUEUE - 63
    assert set(waiting.values()) == {3}
    assert len(waiting) == 21
    await database.close()


async def seconds_of_idle(device: Device) -> float:
    """How long a device waits for its answer, most of the time."""
    taken = []
    for _ in range(_ROUNDS):
        began = time.monotonic()
        assert (await device.idle()).status == 200
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


async def idle_of_new_device(server: RunningServer) -> float:
    """Enroll one, and let it come."""
    async with server.session() as session:
        return await seconds_of_idle(await Api(server, session).enroll())


def test_f06_beside_receivers_that_are_bad_in_every_way_devices_are_served_as_quickly(
    tmp_path: Path,
) -> None:
    server = start_server(tmp_path / "alone")
    try:
        usual = asyncio.run(idle_of_new_device(server))
    finally:
        assert server.stop() == 0
    behaviours: list[Behaviour] = [answer(200), hang, answer(500), Huge(), drip_head]
    receivers = [Receiver() for _ in behaviours]
    for one, behaviour in zip(receivers, behaviours, strict=True):
        one.behave = behaviour
        one.start()
    urls = [one.url for one in receivers] + [f"http://127.0.0.1:{free_port()}/away"]
    server = start_server(
        tmp_path / "data", environment={"APPLIANCE_WEBHOOK__URLS": ",".join(urls)}
    )
    try:
        beside = asyncio.run(idle_of_new_device(server))
        events = receivers[0].wait_for(_ROUNDS + 2)
        assert [one.json["topic"] for one in events] == [
            "mdm.Authenticate", "mdm.TokenUpdate", *["mdm.Connect"] * _ROUNDS,
        ]  # fmt: skip
        assert len(receivers[1].received) <= 3, "one that hangs is asked now and then"
        assert len(receivers[2].received) <= 6, "one that answers 500 as well"
    finally:
        began = time.monotonic()
        status = server.stop()
        for one in receivers:
            one.stop()
    assert status == 0
    assert time.monotonic() - began < 5
    assert beside < 3 * usual + 0.1, (usual, beside)
