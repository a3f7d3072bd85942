"""What the servers are asked to do: prepare devices and commands, then measure in turns."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from cryptography import x509

from .fixtures import Device, KeyPool, command, http_request
from .load import BenchError, Outcome, Request, Session, connect, drive
from .peers import Server
from .scep import issued
from .table import Sample

_CHALLENGE = re.compile(rb"<key>Challenge</key>\s*<string>([^<]+)</string>")
_API_CONNECTIONS = 8


async def measure(server: Server, sessions: Iterable[Session], **options: float) -> Sample:
    """One round on one server; see `drive`."""
    sample, _ = await measure_keeping(server, sessions, keep=False, **options)
    return sample


async def handshakes(server: Server, count: int) -> Sample:
    """New connections, opened and closed without a request."""
    before = server.processor_seconds()
    seconds = await connect(server.address, count)
    spent = server.processor_seconds() - before
    return Sample(rate=count / seconds, processor_us=spent / count * 1e6)


async def measure_keeping(
    server: Server, sessions: Iterable[Session], *, keep: bool = True, **options: float
) -> tuple[Sample, Outcome]:
    """The same, with the bodies of the answers."""
    os.sync()  # nobody's turn pays for what the one before left to be written
    before = server.processor_seconds()
    outcome = await drive(server.address, sessions, keep=keep, seconds=options.get("seconds"))
    spent = server.processor_seconds() - before
    _refuse_wrong(server, outcome)
    sample = Sample(
        rate=outcome.rate,
        processor_us=spent / outcome.total * 1e6,
        p99_ms=outcome.percentile_ms(99),
    )
    return sample, outcome


def _refuse_wrong(server: Server, outcome: Outcome) -> None:
    if outcome.wrong:
        first = outcome.first_wrong.decode(errors="replace")
        raise BenchError(f"{server.name}: {outcome.wrong} wrong answers, the first one:\n{first}")


async def in_turns(
    servers: Sequence[Server],
    sessions: Callable[[Server, int], Iterable[Session]],
    *,
    rounds: int,
    seconds: float | None = None,
    warm_up: Sequence[Session] = (),
) -> dict[str, list[Sample]]:
    """Measure every server once per round, so that a disturbance meets all of them."""
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    options = {} if seconds is None else {"seconds": seconds}
    for server in servers if warm_up else ():
        await measure(server, warm_up)
    for turn in range(rounds):
        for server in servers:
            samples[server.name].append(await measure(server, sessions(server, turn), **options))
    return samples


async def ask(server: Server, method: str, path: str, body: bytes = b"") -> bytes:
    """One API request; the body of its answer."""
    return (await ask_all(server, [_api_request(server, method, path, body)]))[0]


async def ask_all(server: Server, requests: Iterable[Request]) -> list[bytes]:
    """Many requests at once; the bodies in order of arrival."""
    outcome = await drive(
        server.address, ([one] for one in requests), connections=_API_CONNECTIONS, keep=True
    )
    _refuse_wrong(server, outcome)
    return outcome.bodies


def _api_request(server: Server, method: str, path: str, body: bytes) -> Request:
    kind = "application/json" if body.startswith(b"{") else "application/xml"
    return http_request(method, path, body, kind, f"Authorization: {server.authorization}\r\n")


async def challenges(server: Server, count: int) -> list[str]:
    """One-time challenges, each out of an enrollment profile that was really downloaded."""
    terms = json.dumps({"uses": count, "expires_in": "1d", "label": "benchmark"}).encode()
    link = json.loads(await ask(server, "POST", "/api/v1/enrollment-links", terms))
    path = urllib.parse.urlsplit(link["profile_url"]).path
    download = _api_request(server, "GET", path, b"")
    profiles = await ask_all(server, itertools.repeat(download, count))
    found = [_CHALLENGE.search(profile) for profile in profiles]
    return [match[1].decode() for match in found if match]


def devices(pool: KeyPool, answers: Iterable[bytes]) -> list[Device]:
    """A device for every certificate in the CertReps."""
    certificates: list[x509.Certificate] = []
    for answer in answers:
        certificate = issued(answer, pool.signers)
        if certificate is None:
            raise BenchError("a SCEP request was refused")
        certificates.append(certificate)
    return [pool.device(certificate) for certificate in certificates]


async def enqueue(server: Server, udids: Sequence[str], command_uuid: str) -> dict[str, str]:
    """Queue one command for all `udids`; the CommandUUID that each was given."""
    plist = command(command_uuid)
    if server.authorization.startswith("Basic"):
        await ask(server, "PUT", f"/v1/enqueue/{','.join(udids)}?nopush=1", plist)
        return dict.fromkeys(udids, command_uuid)
    order = {"targets": udids, "plist": base64.b64encode(plist).decode(), "push": False}
    answer = json.loads(await ask(server, "POST", "/api/v1/commands", json.dumps(order).encode()))
    return {queued["target"]: queued["id"] for queued in answer["commands"]}


class CommandSessions:
    """Sessions that work off a queue: Idle → command, Acknowledged with its result → next."""

    def __init__(self) -> None:
        self._signed: dict[tuple[str, str], tuple[Request, Request]] = {}

    def session(self, device: Device, command_uuids: Sequence[str]) -> list[Request]:
        """Two requests per command; every answer is checked for the UUID that must be in it."""
        steps: list[Request] = []
        for command_uuid, following in itertools.pairwise((*command_uuids, "")):
            key = (device.udid, command_uuid)
            if key not in self._signed:  # servers that keep our UUIDs share the signatures
                self._signed[key] = (device.idle(), device.acknowledge(command_uuid))
            first, second = self._signed[key]
            steps.append(replace(first, expect=command_uuid.encode()))
            steps.append(replace(second, expect=following.encode()))
        return steps
