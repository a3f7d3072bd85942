"""The stage of one run: every server up, the same devices enrolled at all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509

from . import peers, postgresql, workloads
from .fixtures import TOPIC, Device, KeyPool
from .load import Request, Session
from .peers import Server
from .postgresql import PostgreSQL
from .table import Sample

IN_MEMORY = "NanoMDM in memory, HTTP"
BEHIND_NGINX = "NanoMDM in memory, nginx TLS"
FILE_STORE = "NanoMDM file store, HTTP"
POSTGRESQL = "NanoMDM PostgreSQL, HTTP"
MICROMDM_SCEP = "micromdm/scep"

_COMMANDS_PER_DEVICE = 6
_COMMANDED_DEVICES = 600  # a round
_TARGETS_PER_CALL = 100
_CONNECTS = 6_000  # a round, each with a signature of its own
_OF_POSTGRESQL = 8  # it gets an eighth of the work: it is slow, and others would wait for it

T = TypeVar("T")
Samples = dict[str, list[Sample]]


class Stage:
    """Servers and devices; `prepare` comes first and is itself measured."""

    def __init__(
        self,
        folder: Path,
        stack: contextlib.ExitStack,
        *,
        rounds: int,
        count: int,
        database: PostgreSQL | None = None,
    ) -> None:
        self._folder = folder
        self._stack = stack
        self._rounds = rounds
        self._share = count // rounds
        self._pool = KeyPool()
        self._devices: list[Device] = []
        self.issued: Samples = {}
        self.enrolled: Samples = {}
        self.ours = self._start("ours", lambda f: peers.appliance(f, TOPIC))
        authority = folder / "ours" / "data" / "keys" / "ca.pem"
        self._ca = x509.load_pem_x509_certificate(authority.read_bytes())
        self.peers = list(self._start_nanomdm(authority, database))

    def _start(
        self, name: str, start: Callable[[Path], contextlib.AbstractContextManager[Server]]
    ) -> Server:
        folder = self._folder / name
        folder.mkdir()
        return self._stack.enter_context(start(folder))

    def _start_nanomdm(self, authority: Path, database: PostgreSQL | None) -> Iterator[Server]:
        program, proxy = peers.find_program("nanomdm"), peers.find_program("nginx")
        if program is None:
            return
        found: str = program
        memory = self._start("inmem", lambda f: peers.nanomdm(found, f, authority, "inmem"))
        yield dataclasses.replace(memory, name=IN_MEMORY)
        if proxy is not None:
            front: str = proxy
            server = self._start("nginx", lambda f: peers.nginx(front, f, memory))
            yield dataclasses.replace(server, name=BEHIND_NGINX)
        files = self._start("files", lambda f: peers.nanomdm(found, f, authority, "filekv"))
        yield dataclasses.replace(files, name=FILE_STORE)
        if database is not None:
            place = self._folder / "postgresql"
            place.mkdir()
            pid, dsn = self._stack.enter_context(postgresql.running(database, place))
            server = self._start(
                "pgsql",
                lambda f: peers.nanomdm(found, f, authority, "pgsql", dsn=dsn, database=pid),
            )
            yield dataclasses.replace(server, name=POSTGRESQL)

    def _stores(self) -> list[Server]:
        return [self.ours, *(peer for peer in self.peers if peer.name != BEHIND_NGINX)]

    async def prepare(self) -> None:
        """Certificates by SCEP, then Authenticate and TokenUpdate everywhere."""
        certreps = await self._issue()
        self._devices = workloads.devices(self._pool, certreps)
        sessions = [[one.authenticate(), one.token_update()] for one in self._devices]
        self.enrolled = await workloads.in_turns(
            self._stores(), lambda _, turn: self._slice(sessions, turn), rounds=self._rounds
        )

    async def _issue(self) -> list[bytes]:
        challenges = await workloads.challenges(self.ours, self._share * self._rounds)
        requests = [[one] for one in self._pool.requests(self._ca, challenges)]
        theirs = await self._peer_requests()
        certreps: list[bytes] = []
        for turn in range(self._rounds):
            sample, outcome = await workloads.measure_keeping(
                self.ours, self._slice(requests, turn)
            )
            certreps += outcome.bodies
            self.issued.setdefault(self.ours.name, []).append(sample)
            for server, rounds in theirs.items():
                sample = await workloads.measure(self._scep_peers[server], rounds[turn])
                self.issued.setdefault(server, []).append(sample)
        return certreps

    async def _peer_requests(self) -> dict[str, list[list[Session]]]:
        program = peers.find_program("scepserver")
        self._scep_peers: dict[str, Server] = {}
        if program is None:
            return {}
        found: str = program
        server = self._start("scep", lambda f: peers.scepserver(found, f))
        self._scep_peers[MICROMDM_SCEP] = server
        der = await workloads.ask(server, "GET", "/scep?operation=GetCACert")
        authority = x509.load_der_x509_certificate(der)
        # As many as ours: its file depot slows down as it fills, and a fleet would fill it.
        challenges = [peers.API_KEY] * self._share
        return {
            MICROMDM_SCEP: [
                [[one] for one in self._pool.requests(authority, challenges)]
                for _ in range(self._rounds)
            ]
        }

    async def connects(self) -> Samples:
        """Idle reports with nothing queued, each signed anew: every signature is verified."""
        turns = itertools.cycle(self._devices)
        count = self._rounds * _CONNECTS
        fresh: list[Session] = [[one.idle()] for one in itertools.islice(turns, count)]
        return await workloads.in_turns(
            [self.ours, *self.peers],
            lambda server, turn: _bearable(
                server, fresh[turn * _CONNECTS : (turn + 1) * _CONNECTS]
            ),
            rounds=self._rounds,
            warm_up=[[one.idle()] for one in self._devices],
        )

    async def repeated_connects(self, seconds: float) -> Samples:
        """The same, but each device sends one message, signature and all, again and again."""
        same: list[Session] = [[one.idle()] for one in self._devices]
        return await workloads.in_turns(
            [self.ours, *self.peers],
            lambda *_: itertools.cycle(same),
            rounds=self._rounds,
            seconds=seconds,
        )

    async def cycles(self) -> Samples:
        """Commands queued beforehand, then fetched and acknowledged."""
        commanded = [
            one
            for turn in range(self._rounds)
            for one in self._slice(self._devices, turn)[:_COMMANDED_DEVICES]
        ]
        share = len(commanded) // self._rounds
        orders = [
            (str(uuid.uuid4()), commanded[at : at + _TARGETS_PER_CALL])
            for _ in range(_COMMANDS_PER_DEVICE)
            for at in range(0, len(commanded), _TARGETS_PER_CALL)
        ]
        commands = workloads.CommandSessions()
        prepared: dict[str, list[Session]] = {}
        for server in self._stores():
            queues: dict[str, list[str]] = {device.udid: [] for device in commanded}
            for command_uuid, targets in orders:
                udids = [device.udid for device in targets]
                for udid, given in (await workloads.enqueue(server, udids, command_uuid)).items():
                    queues[udid].append(given)
            prepared[server.name] = [commands.session(one, queues[one.udid]) for one in commanded]
        return await workloads.in_turns(
            self._stores(),
            lambda server, turn: _bearable(
                server, prepared[server.name][turn * share : (turn + 1) * share]
            ),
            rounds=self._rounds,
        )

    def whole_enrollments(self) -> Samples:
        """SCEP and then Authenticate and TokenUpdate, each after the other, on one core.

        What the two took, added up round by round; the certificates of NanoMDM's devices come
        from micromdm/scep.
        """
        issued = {server.name: self.issued.get(MICROMDM_SCEP, []) for server in self._stores()}
        issued[self.ours.name] = self.issued[self.ours.name]
        return {
            name: [_one_after_the_other(*pair) for pair in zip(issued[name], rounds, strict=False)]
            for name, rounds in self.enrolled.items()
        }

    def _slice(self, items: Sequence[T], turn: int) -> Sequence[T]:
        return items[turn * self._share : (turn + 1) * self._share]


def _bearable(server: Server, sessions: list[Session]) -> list[Session]:
    return sessions[::_OF_POSTGRESQL] if server.name == POSTGRESQL else sessions


def _one_after_the_other(certificate: Sample, check_ins: Sample) -> Sample:
    """One certificate and a pair of check-ins."""
    seconds = 1 / certificate.rate + 2 / check_ins.rate
    return Sample(
        rate=1 / seconds, processor_us=certificate.processor_us + 2 * check_ins.processor_us
    )


async def generator_ceiling(folder: Path, seconds: float) -> Sample:
    """What the load generator reaches against a server that does nothing."""
    pool = KeyPool(size=1)
    request: Request = pool.device(pool.signer()[0]).idle()
    folder.mkdir()
    with peers.trivial(folder) as server:
        return await workloads.measure(server, itertools.repeat([request]), seconds=seconds)
