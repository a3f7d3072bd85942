"""Sending a push: aioapns behind one call that does not raise."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, assert_never

from appliance.apns.outcome import Answer, Outcome, Refused, Retry, StreamLost, outcome_of
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from aioapns import NotificationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PushTarget:
    """Where one channel is pushed to, as its last TokenUpdate said."""

    token: bytes
    push_magic: str = field(repr=False)
    topic: str


class PushSender:
    """Pushes to devices over a few long-lived connections, opened with the first push.

    A renewed certificate needs a new sender; close the old one afterwards, it lets what is
    in flight finish. Construct it inside a running event loop.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None,
        connections: int = 1,
        timeout_seconds: float = 10,
    ) -> None:
        """Remember how to connect; nothing is sent yet.

        Args:
            host: `api.push.apple.com`, or a push server of your own.
            port: 443 or 2197 at Apple.
            ssl_context: as from `push_ssl_context`; None presents no push certificate,
                which only a push server of your own accepts.
            connections: how many to open at most, each when those before it are full.
            timeout_seconds: for the answer to one push; connecting may take twice as long.

        Raises:
            ConfigError: the context does not verify the push server.
        """
        if ssl_context is None:
            ssl_context = ssl.create_default_context()
            ssl_context.set_alpn_protocols(["h2"])
        if ssl_context.verify_mode != ssl.CERT_REQUIRED or not ssl_context.check_hostname:
            raise ConfigError("the push server's certificate must be verified")
        # aioapns imports pyOpenSSL, 65 ms that a command that never pushes need not pay.
        from appliance.apns.pool import ConnectionPool

        self._pool = ConnectionPool(host, port, ssl_context, connections, timeout_seconds)

    async def send(self, target: PushTarget, *, expires_in_seconds: int) -> Outcome:
        """Push once and return what became of it; never raises for reasons of the network.

        It is sent a second time only if APNs has certainly not processed the first. Takes
        at most one connection attempt and one answer timeout per sending, plus the wait for
        its turn while APNs keeps answering others.

        Args:
            target: where to.
            expires_in_seconds: how long APNs stores it for a device that is offline;
                0 tries once and stores nothing.
        """
        from appliance.apns.connection import MAX_PAYLOAD_BYTES
        from appliance.apns.pool import Unreachable

        request = _request(target, expires_in_seconds)
        if len(json.dumps(request.message)) > MAX_PAYLOAD_BYTES:
            return Refused(status=413, reason="PayloadTooLarge")
        try:
            answer = await self._pool.request(request)
            if isinstance(answer, StreamLost) and answer.resend:
                answer = await self._pool.request(request)
        except Unreachable as unreachable:
            return unreachable.outcome
        match answer:
            case Answer():
                now = datetime.now(UTC)
                return outcome_of(answer, apns_id=request.notification_id, now=now)
            case StreamLost(reason=reason):
                return Retry(reason=reason)
            case _:
                assert_never(answer)

    async def close(self) -> None:
        """Wait for the pushes in flight, at most `timeout_seconds`, and disconnect."""
        await self._pool.close()


def _request(target: PushTarget, expires_in_seconds: int) -> NotificationRequest:
    from aioapns import PRIORITY_HIGH, NotificationRequest, PushType

    return NotificationRequest(
        device_token=target.token.hex(),
        message={"mdm": target.push_magic},
        time_to_live=expires_in_seconds,
        priority=int(PRIORITY_HIGH),
        push_type=PushType.MDM,
        apns_topic=target.topic,
    )
