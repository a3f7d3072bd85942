"""What can go wrong for a simulated device; the text is what its owner reads."""

from __future__ import annotations


class SimulatorError(Exception):
    """A device could not do what it was asked for; the text says why."""


class ProfileRefused(SimulatorError):
    """An enrollment profile that a device would not install."""


class MessageRefused(SimulatorError):
    """A message of the server that is malformed or wrongly signed."""


class Unreachable(SimulatorError):
    """No answer in time, or only answers that ask to come again later."""


class ServerRefused(SimulatorError):
    """The server answered, and said no; `status` is HTTP's."""

    def __init__(self, what: str, status: int, body: bytes = b"") -> None:
        said = body[:200].decode(errors="replace").strip()
        printable = "".join(char if char.isprintable() else " " for char in said)
        super().__init__(f"{what}: HTTP {status}" + (f", {printable}" if printable else ""))
        self.status = status


class ToldToLeave(SimulatorError):
    """401, or 403 `com.apple.unrecognized.device`: the device drops its management."""


class ScepFailure(SimulatorError):
    """No certificate: HTTP `status`, or `fail_info` of a signed CertRep (RFC 8894, 3.2.1.4)."""

    def __init__(self, *, status: int, fail_info: str | None = None, body: bytes = b"") -> None:
        said = f", {body[:200]!r}" if body else ""
        info = f", failInfo {fail_info} ({_FAIL_INFO.get(fail_info, '?')})" if fail_info else ""
        super().__init__(f"SCEP gave no certificate: HTTP {status}{info}{said}")
        self.status = status
        self.fail_info = fail_info


_FAIL_INFO = {
    "0": "badAlg",
    "1": "badMessageCheck",
    "2": "badRequest",
    "3": "badTime",
    "4": "badCertId",
}
