"""One device's life: it enrolls, answers commands, and leaves."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any

from cryptography import x509

from appliance.simulator import faults as trouble
from appliance.simulator.answers import After, Answer, adopt, answer, unenroll
from appliance.simulator.answers.command import acknowledged, refused
from appliance.simulator.answers.security import unlock_token
from appliance.simulator.channel import IDLE, Channel, Command, Connection, Report
from appliance.simulator.errors import INSTALLATION, Refusal
from appliance.simulator.failures import (
    MessageRefused,
    ProfileRefused,
    ServerRefused,
    SimulatorError,
    ToldToLeave,
    Unreachable,
)
from appliance.simulator.faults import Fault
from appliance.simulator.identity import Applicant, ScepClient, identity_of
from appliance.simulator.journal import Journal
from appliance.simulator.keys import Identity, PrivateKey
from appliance.simulator.profile import Enrollment, Management, Pkcs12Payload, read_enrollment
from appliance.simulator.signatures import standing
from appliance.simulator.state import DeviceState
from appliance.simulator.transport import Transport
from appliance.simulator.users import GONE, authenticate_user

_PER_USER = "com.apple.mdm.per-user-connections"
_BOOTSTRAP = "com.apple.mdm.bootstraptoken"
_MAY_LOCK = 4  # AccessRights
_MAY_QUERY = 16
_RETRY_SECONDS = 60.0
_NETWORK_USERS = 0.1  # the part of the Macs whose user lives in a directory


class Status(Enum):
    """Where a device is in its life."""

    NEW = "new"
    ENROLLING = "enrolling"
    ENROLLED = "enrolled"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the devices of a fleet share; times in seconds.

    A locked device unlocks itself after `unlocks_after`, None for never. A device that had no
    time comes back within `refusal`; a slow one takes up to `slowness` for an answer.
    """

    transport: Transport
    journal: Journal
    unlocks_after: float | None = None
    slowness: float = 5.0
    refusal: float = 6.0


class Device:
    """A simulated device; the fleet says when it works."""

    __slots__ = (
        "_anchors",
        "_clock_error",
        "_connection",
        "_dice",
        "_faults",
        "_key",
        "_unlocks_at",
        "_world",
        "away_until",
        "channels",
        "state",
        "status",
    )

    def __init__(
        self,
        state: DeviceState,
        *,
        dice: random.Random,
        faults: frozenset[Fault],
        surroundings: Surroundings,
    ) -> None:
        self.state = state
        self.status = Status.NEW
        self.away_until = 0.0  # time.monotonic(): it restarts
        self._dice = dice
        self._faults = faults
        self._world = surroundings
        self._unlocks_at = 0.0
        self._connection: Connection | None = None
        self._anchors: tuple[x509.Certificate, ...] = ()
        self._key: PrivateKey | None = None
        trouble.afflict(state, faults)
        self._clock_error: timedelta = trouble.clock_error(faults, dice)
        self.channels = [self._new_channel({"UDID": state.udid})]

    def _new_channel(self, identification: dict[str, Any], *, is_user: bool = False) -> Channel:
        return Channel(
            identification=identification,
            token=self._dice.randbytes(32),
            push_magic=str(uuid.UUID(int=self._dice.getrandbits(128), version=4)).upper(),
            is_user=is_user,
        )

    async def enroll(
        self, profile: bytes, key: PrivateKey, anchors: tuple[x509.Certificate, ...] = ()
    ) -> bool:
        """Install an enrollment profile; failures are journalled, and the answer is False."""
        self._key, self._anchors = key, anchors
        try:
            enrollment = await self._install(profile)
        except (SimulatorError, Refusal) as error:
            self.fail(str(error))
            return False
        self.status = Status.ENROLLED
        now = datetime.now(UTC) + self._clock_error
        signature = standing(enrollment.chain, anchors, now)
        self._world.journal.on_enrolled(self.state, signature)
        return True

    def fail(self, reason: str) -> None:
        """Give up enrolling."""
        self.status = Status.FAILED
        self._world.journal.on_failed(self.state, reason)

    async def _install(self, profile: bytes) -> Enrollment:
        enrollment = read_enrollment(profile)
        identity = await self._obtain_identity(enrollment)
        management = enrollment.management
        connection = Connection.open(
            self._world.transport, management, self._anchors, identity, self._clock_error
        )
        device = self.channels[0]
        await connection.checked_in(device, "Authenticate", **self._facts(management))
        await self._update_token(connection, device)
        self._connection = connection
        adopt(self.state, profile, connection.certificate)
        for also in (self._escrow, self._connect_user):
            try:
                await also(connection)
            except (MessageRefused, ServerRefused, Unreachable) as error:  # enrolled all the same
                self._world.journal.on_trouble(self.state, str(error))
        return enrollment

    async def _obtain_identity(self, enrollment: Enrollment) -> Identity:
        payload = enrollment.identity
        if isinstance(payload, Pkcs12Payload):
            return identity_of(payload)
        if self._key is None:
            raise ProfileRefused("the device has no key yet")
        state = self.state
        applicant = Applicant(
            key=self._key,
            fallback_name=state.udid,
            variables={
                "HardwareUUID": state.udid,
                "SerialNumber": state.serial_number,
                "ComputerName": state.device_name,
                "HostName": state.device_name,
                "LocalHostName": state.device_name,
                "MACAddress": state.wifi_mac,
            },
            clock=self._clock_error,
        )
        tls = self._world.transport.tls((*self._anchors, *enrollment.management.roots))
        return await ScepClient(self._world.transport, payload, tls).enroll(applicant)

    def _facts(self, management: Management) -> dict[str, Any]:
        state = self.state
        facts: dict[str, Any] = {"Topic": management.topic}
        if state.is_mac:
            facts |= {
                "DeviceName": state.device_name,
                "Model": state.product_name,
                "ModelName": state.model_name,
            }
        if management.rights & _MAY_QUERY:
            facts |= {
                "OSVersion": state.os_version,
                "BuildVersion": state.build_version,
                "ProductName": state.product_name,
                "SerialNumber": state.serial_number,
            }
            facts |= {k: v for k, v in (("IMEI", state.imei), ("MEID", state.meid)) if v}
        return facts

    async def _update_token(self, connection: Connection, channel: Channel) -> None:
        state, management = self.state, connection.management
        keys: dict[str, Any] = {
            "Topic": management.topic,
            "Token": channel.token,
            "PushMagic": channel.push_magic,
        }
        if not channel.is_user:
            if state.is_ios and not state.shared and management.rights & _MAY_LOCK:
                state.unlock_token = state.unlock_token or unlock_token(state)
                keys["UnlockToken"] = state.unlock_token
            if state.awaiting_configuration:
                keys["AwaitingConfiguration"] = True
        await connection.checked_in(channel, "TokenUpdate", **keys)

    async def _escrow(self, connection: Connection) -> None:
        mac = self.state.mac
        if mac is None or _BOOTSTRAP not in connection.management.capabilities:
            return
        mac.bootstrap_token = mac.bootstrap_token or self._dice.randbytes(32)
        await connection.checked_in(
            self.channels[0], "SetBootstrapToken", BootstrapToken=mac.bootstrap_token
        )

    async def _connect_user(self, connection: Connection) -> None:
        user = self.state.console_user
        if len(self.channels) > 1:
            return await self._update_token(connection, self.channels[1])
        from_directory = self._dice.random() < _NETWORK_USERS
        if user is None or _PER_USER not in connection.management.capabilities:
            return
        identification = {
            "UDID": self.state.udid,
            "UserID": user.guid,
            "UserShortName": user.short_name,
            "UserLongName": user.full_name,
        }
        channel = self._new_channel(identification, is_user=True)
        if from_directory:
            ask = partial(self._ask_about_user, connection, user.guid)
            password = self._dice.randbytes(6).hex()
            token = await authenticate_user(ask, user.short_name, password)
            if token is None:
                return  # the server does not manage this user
            channel.identification |= {"AuthToken": token} if token else {}
        await self._update_token(connection, channel)
        self.channels.append(channel)

    async def _ask_about_user(
        self, connection: Connection, user_id: str, message_type: str, **keys: Any
    ) -> Any:
        return await connection.check_in(
            self.channels[0], message_type, {"UserID": user_id, **keys}
        )

    async def session(self, channel: Channel) -> float | None:
        """Connect and work until the server has nothing left.

        Returns the seconds after which the device connects again of its own accord, or None.
        """
        connection = self._connection
        if self.status is not Status.ENROLLED or connection is None:
            return None
        if self._unlocks_at and time.monotonic() >= self._unlocks_at:
            self.unlock()
        try:
            return await self._work(connection, channel)
        except ToldToLeave as error:
            self.leave(str(error))
        except ServerRefused as error:
            if channel.is_user and error.status == GONE:
                self.channels.remove(channel)
                return None
            self._world.journal.on_trouble(self.state, str(error))
            return _RETRY_SECONDS if error.status >= 429 else None
        except SimulatorError as error:
            self._world.journal.on_trouble(self.state, str(error))
            return _RETRY_SECONDS if channel.unsent else None
        return None

    async def _work(self, connection: Connection, channel: Channel) -> float | None:
        pause = None
        command = await self._deliver(connection, channel, channel.unsent or IDLE)
        while command is not None:
            if Fault.SLOW in self._faults:
                await asyncio.sleep(self._dice.uniform(0.5, 1.0) * self._world.slowness)
            reply = await self._answer(connection, channel, command)
            connection = self._connection or connection  # a renewal replaces it
            report = Report(
                request_type=command.request_type,
                command_uuid=command.uuid,
                status=reply.status,
                body=reply.body,
            )
            if reply.after is After.ERASE:
                await self._erase(connection, channel, report)
                return None
            asked = command
            command = await self._deliver(connection, channel, report)
            if reply.after is not After.NOTHING:
                pause = await self._afterwards(connection, channel, asked, reply.after)
                if pause is not None or self.status is not Status.ENROLLED:
                    return pause
            pause = self._comes_back() if reply.status == "NotNow" else None
        return pause

    async def _answer(self, connection: Connection, channel: Channel, command: Command) -> Answer:
        if trouble.refuses(self._faults, self._dice, command.request_type):
            return Answer(status="NotNow")
        keys = dict(command.payload)
        reply = answer(self.state, keys, connection.now(), user_channel=channel.is_user)
        return reply if reply.after is not After.RENEW else await self._renew(keys["Payload"])

    async def _renew(self, profile: bytes) -> Answer:
        try:
            await self._install(profile)
        except ToldToLeave:
            raise
        except (SimulatorError, Refusal) as error:  # the old profile and identity stay
            self._world.journal.on_trouble(self.state, f"renewal: {error}")
            return refused(Refusal(INSTALLATION, 4013, f"The update failed: {error}"))
        return acknowledged()

    async def _deliver(
        self, connection: Connection, channel: Channel, report: Report
    ) -> Command | None:
        """Send a report; it is kept for the next session until the server has taken it."""
        if report is not IDLE:
            channel.unsent = report
        cut = trouble.cut(self._faults, self._dice)
        command = await connection.report(channel, report, cut=cut)
        if Fault.DUPLICATE in self._faults and report is not IDLE:
            command = await connection.report(channel, report)
        channel.unsent = None
        if report is not IDLE:
            self._world.journal.on_answered(self.state, report)
        return command

    def _comes_back(self) -> float | None:
        """When a device connects again whose last word was NotNow."""
        if not self.state.locked:
            return self._dice.uniform(0.3, 1.0) * self._world.refusal
        if self._world.unlocks_after is None:
            return None
        self._unlocks_at = time.monotonic() + self._world.unlocks_after
        return self._world.unlocks_after

    async def _afterwards(
        self, connection: Connection, channel: Channel, command: Command, after: After
    ) -> float | None:
        match after:
            case After.UNENROLL:
                await self._check_out(connection)
                self.leave("the profile was removed")
            case After.RESTART:
                pause = self._dice.uniform(3.0, 8.0)
                self.away_until = time.monotonic() + pause
                return pause
            case After.SHUT_DOWN:
                self.state.silent = True
            case After.DECLARATIONS:
                ask = partial(connection.check_in, channel, "DeclarativeManagement")
                await channel.declarations.synchronize(ask, bytes(command.payload.get("Data", b"")))
            case After.NOTHING | After.ERASE | After.RENEW:
                pass
        return None

    async def _check_out(self, connection: Connection) -> None:
        """Said once, and nobody waits for the answer."""
        if connection.management.checks_out:
            keys = {"Topic": connection.management.topic}
            try:
                await connection.check_in(self.channels[0], "CheckOut", keys, attempts=1)
            except SimulatorError as error:
                self._world.journal.on_trouble(self.state, f"CheckOut: {error}")

    async def _erase(self, connection: Connection, channel: Channel, report: Report) -> None:
        """Acknowledge once, whether it arrives or not, and be a new device."""
        try:
            await connection.report(channel, report, attempts=1)
            self._world.journal.on_answered(self.state, report)
        except SimulatorError as error:
            self._world.journal.on_trouble(self.state, f"EraseDevice: {error}")
        self.leave("the device was erased")

    def unlock(self) -> None:
        """Somebody unlocks the screen."""
        self.state.locked = False
        self._unlocks_at = 0.0

    def leave(self, reason: str) -> None:
        """Drop the management and all that came with it."""
        if self.status is Status.ENROLLED:
            self.status = Status.LEFT
            self._connection = None
            unenroll(self.state)
            self._world.journal.on_left(self.state, reason)
