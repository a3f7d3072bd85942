"""h2 as a push connection needs it: cheap per stream, and calm when told to go away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hyperframe.frame import Frame, GoAwayFrame

# Plenty for what one core can send in a round trip, and a bound for what a loss can cost.
MAX_IN_FLIGHT = 400


class PushH2Connection(H2Connection):
    """h2, for many short streams that may outlive a GOAWAY."""

    def __init__(self) -> None:
        # We wrote the header block ourselves: h2 need not check it for each push.
        super().__init__(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.encoder = _PlainEncoder()
        self.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: 16384},
        )

    @property
    def open_outbound_streams(self) -> int:
        """At most this many are open; h2 would look at each of them for each new one."""
        streams = len(self.streams)
        if streams < min(2 * MAX_IN_FLIGHT, self.remote_settings.max_concurrent_streams):
            return streams
        return super().open_outbound_streams  # forgets closed ones as well

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """h2 refuses all frames from here on; RFC 9113 section 6.8 lets streams finish."""
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]


class _PlainEncoder(Encoder):
    """Huffman coding in Python costs more time than the bytes it saves are worth."""

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:
        return super().encode(headers, huffman=False)
