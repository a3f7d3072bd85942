"""Many devices in one process: a device costs a task and a connection only while it works."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from appliance.simulator import faults as trouble
from appliance.simulator.apns import ApnsAnswer, ReceivedPush
from appliance.simulator.casting import make_state
from appliance.simulator.channel import Channel
from appliance.simulator.device import Device, Status, Surroundings
from appliance.simulator.failures import ServerRefused, SimulatorError
from appliance.simulator.faults import Fault
from appliance.simulator.keys import rsa_key
from appliance.simulator.transport import Request, Transport

_ENROLLING_AT_ONCE = 16
_KEYS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSource:
    """Where devices get their enrollment profile; a URL is asked once for each device."""

    url: str = ""
    data: bytes = b""
    anchors: tuple[x509.Certificate, ...] = ()

    async def fetch(self, transport: Transport) -> bytes:
        """The profile for one more device; SimulatorError when the URL gives none."""
        if not self.url:
            return self.data
        request = Request(method="GET", url=self.url, tls=transport.tls(self.anchors))
        reply = await transport.send(request)
        if reply.status != 200:
            said = reply.body if reply.content_type == "text/plain" else b""
            raise ServerRefused("the profile's address", reply.status, said)
        if reply.content_type == "text/html":
            raise SimulatorError("the profile's address gives a web page, not a .mobileconfig")
        return reply.body


class KeyPool:
    """A few RSA keys for all devices: each still has a certificate of its own."""

    def __init__(self, size: int = _KEYS) -> None:
        self._size = size
        self._keys: dict[int, asyncio.Task[rsa.RSAPrivateKey]] = {}

    async def key(self, index: int) -> rsa.RSAPrivateKey:
        """The key of the device with this index, made in a thread when it is first needed."""
        slot = index % self._size
        if slot not in self._keys:
            self._keys[slot] = asyncio.create_task(asyncio.to_thread(rsa_key))
        return await asyncio.shield(self._keys[slot])


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Which devices a fleet has; the same values give the same devices."""

    devices: int
    seed: int = 1
    cast: str = "demo"
    faults: Mapping[Fault, int]


class Fleet:
    """The devices of one process, woken by push or poll."""

    def __init__(self, composition: Composition, surroundings: Surroundings) -> None:
        self._world = surroundings
        self._keys = KeyPool(min(_KEYS, composition.devices))
        self.devices = list(_make_devices(composition, surroundings))
        self._by_udid = {device.state.udid: device for device in self.devices}
        self._by_token: dict[bytes, tuple[Device, Channel]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def enroll(self, source: ProfileSource) -> None:
        """Enroll all devices that are not, a few at a time; failures are in the journal."""
        waiting = ((i, d) for i, d in enumerate(self.devices) if d.status is Status.NEW)
        async with asyncio.TaskGroup() as group:
            for _ in range(_ENROLLING_AT_ONCE):
                group.create_task(self._enroll_from(waiting, source))

    async def _enroll_from(
        self, waiting: Iterator[tuple[int, Device]], source: ProfileSource
    ) -> None:
        for index, device in waiting:
            device.status = Status.ENROLLING
            key = await self._keys.key(index)
            try:
                profile = await source.fetch(self._world.transport)
            except SimulatorError as error:
                device.fail(str(error))
                continue
            self._register(device)  # a push can arrive before the enrollment is through
            await device.enroll(profile, key, source.anchors)
            self._register(device)
            for channel in device.channels:
                if channel.woken:
                    self.wake(device, channel)

    def _register(self, device: Device) -> None:
        for channel in device.channels:
            self._by_token[channel.token] = (device, channel)

    def push(self, push: ReceivedPush) -> ApnsAnswer | None:
        """Deliver a push: None for delivered, else what APNs answers to the server."""
        device, channel = self._by_token.get(push.token, (None, None))
        if device is None or channel is None:
            return ApnsAnswer(status=400, reason="BadDeviceToken")
        if device.status is Status.LEFT:
            now = int(time.time() * 1000)
            return ApnsAnswer(status=410, reason="Unregistered", timestamp_ms=now)
        if push.push_magic != channel.push_magic:
            self._world.journal.on_trouble(device.state, "a push with a wrong PushMagic")
        elif not device.state.silent:
            self.wake(device, channel)
        return None

    def wake(self, device: Device, channel: Channel | None = None) -> None:
        """Let one channel, or all channels, connect now or as soon as the device can."""
        for each in [channel] if channel else device.channels:
            pause = device.away_until - time.monotonic()
            if each.busy or device.status is Status.ENROLLING:
                each.woken = True
            elif device.status is not Status.ENROLLED:
                continue
            elif pause > 0:
                self._wake_later(pause, device, each)
            else:
                each.busy = True
                self._start(device, each)

    def wake_all(self) -> None:
        """Let every device connect once, but those that take no push."""
        for device in self.devices:
            if not device.state.silent:
                self.wake(device)

    def unlock(self, udid: str) -> bool:
        """Unlock a device's screen; False for a device that is not of this fleet."""
        device = self._by_udid.get(udid)
        if device is not None:
            device.unlock()
            self.wake(device)
        return device is not None

    def silence(self, udid: str) -> bool:
        """Let a device take no push from now on; False if it is not of this fleet."""
        device = self._by_udid.get(udid)
        if device is not None:
            device.state.silent = True
        return device is not None

    async def poll(self, seconds: float) -> None:
        """Let every device connect once in so many seconds, evenly spread, for ever."""
        while True:
            for device in self.devices:
                if not device.state.silent:
                    self.wake(device)
                await asyncio.sleep(seconds / len(self.devices))

    async def settled(self, quiet_seconds: float = 1.0) -> None:
        """Return when no device has worked, or waited to work again, for so long."""
        while True:
            await self._quiet.wait()
            await asyncio.sleep(quiet_seconds)
            if self._quiet.is_set():
                return

    async def close(self) -> None:
        """Stop all devices where they are."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, device: Device, channel: Channel) -> None:
        task = asyncio.create_task(self._work(device, channel))
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._ended)

    async def _work(self, device: Device, channel: Channel) -> None:
        try:
            channel.woken = True
            pause = None
            while channel.woken and device.status is Status.ENROLLED:
                channel.woken = False
                pause = await device.session(channel)
                self._register(device)  # a renewal may have given its user a channel
        finally:
            channel.busy = False
        if pause is not None and device.status is Status.ENROLLED:
            self._wake_later(pause, device, channel)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a simulated device failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self._look_around()

    def _wake_later(self, seconds: float, device: Device, channel: Channel) -> None:
        def ring() -> None:
            self._timers.discard(timer)
            self.wake(device, channel)
            self._look_around()

        timer = asyncio.get_running_loop().call_later(seconds, ring)
        self._timers.add(timer)
        self._quiet.clear()

    def _look_around(self) -> None:
        if not self._tasks and not self._timers:
            self._quiet.set()


def _make_devices(composition: Composition, surroundings: Surroundings) -> Iterator[Device]:
    seed = composition.seed
    chosen = trouble.assign(seed, composition.devices, composition.faults)
    for index, faults in enumerate(chosen):
        yield Device(
            make_state(seed, index, composition.cast),
            dice=random.Random(f"{seed} {index}"),  # noqa: S311 - the same run for the same seed
            faults=faults,
            surroundings=surroundings,
        )
