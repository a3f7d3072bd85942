"""Simulated devices: keys, identities, and messages signed before the clock starts."""

from __future__ import annotations

import base64
import datetime
import itertools
import plistlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .load import Request
from .scep import pkcs_req, self_signed, signed_data, signing_time

TOPIC = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000000"
_CHECK_IN = "application/x-apple-aspen-mdm-checkin"
_REPORT = "application/x-apple-aspen-mdm; charset=UTF-8"
# In the future: NanoMDM wants the signing time inside the certificate's validity.
_EPOCH = datetime.datetime.now(datetime.UTC)
_clock = itertools.count()


class KeyPool:
    """A few RSA-2048 keys, shared by all devices: generating one takes 50 ms, using one 0.3."""

    def __init__(self, size: int = 50) -> None:
        keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(size)]
        self.signers: dict[int, tuple[x509.Certificate, rsa.RSAPrivateKey]] = {}  # by serial number
        self._turn = itertools.cycle(keys)
        self._owner = {_public(key): key for key in keys}

    def signer(self) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """A new temporary certificate, as every real device makes one, and its key."""
        key = next(self._turn)
        certificate = self_signed(key, str(uuid.uuid4()))
        self.signers[certificate.serial_number] = certificate, key
        return certificate, key

    def requests(self, ca: x509.Certificate, challenges: Sequence[str]) -> Iterator[Request]:
        """One SCEP request per challenge, each signed with a certificate of its own."""
        for challenge in challenges:
            signer, key = self.signer()
            message = pkcs_req(key, signer, ca, name=str(uuid.uuid4()), challenge=challenge)
            yield http_request(
                "POST", "/scep?operation=PKIOperation", message, "application/x-pki-message"
            )

    def device(self, certificate: x509.Certificate) -> Device:
        """A new device that owns `certificate`, issued for one of our keys."""
        return Device(certificate=certificate, key=self._owner[_public(certificate)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device identity; every method returns a signed request."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    udid: str = field(default_factory=lambda: str(uuid.uuid4()).upper())

    def authenticate(self) -> Request:
        """The message that begins an enrollment."""
        message = {
            "MessageType": "Authenticate",
            "UDID": self.udid,
            "Topic": TOPIC,
            "DeviceName": "Benchmark",
            "Model": "MacBookPro18,3",
            "ModelName": "MacBook Pro",
            "OSVersion": "15.1",
            "BuildVersion": "24B83",
            "ProductName": "MacBookPro18,3",
            "SerialNumber": self.udid.replace("-", "")[:12],
        }
        return self._put(message, _CHECK_IN)

    def token_update(self) -> Request:
        """The message that completes an enrollment."""
        message = {
            "MessageType": "TokenUpdate",
            "UDID": self.udid,
            "Topic": TOPIC,
            "Token": uuid.UUID(self.udid).bytes * 2,
            "PushMagic": self.udid,
        }
        return self._put(message, _CHECK_IN)

    def idle(self, expect: str = "") -> Request:
        """A report without a result; the answer must contain `expect`."""
        return self._put({"Status": "Idle", "UDID": self.udid}, _REPORT, expect)

    def acknowledge(self, command_uuid: str, expect: str = "") -> Request:
        """The result of a DeviceInformation command, about 1 KB."""
        message = {
            "Status": "Acknowledged",
            "UDID": self.udid,
            "CommandUUID": command_uuid,
            "QueryResponses": _QUERY_RESPONSES,
        }
        return self._put(message, _REPORT, expect)

    def _put(self, message: Mapping[str, object], content_type: str, expect: str = "") -> Request:
        body = plistlib.dumps(dict(message))
        # Never the same signature twice: a server that remembers one must not profit.
        at = _EPOCH + datetime.timedelta(seconds=next(_clock))
        signature = signed_data(body, self.key, self.certificate, signing_time(at), detached=True)
        header = f"Mdm-Signature: {base64.b64encode(signature).decode()}\r\n"
        return http_request("PUT", "/mdm", body, content_type, header, expect)


def http_request(
    method: str, path: str, body: bytes, content_type: str, headers: str = "", expect: str = ""
) -> Request:
    """A keep-alive HTTP/1.1 request; `headers` are complete lines."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: MDM/1.0\r\n"
        f"Content-Type: {content_type}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return Request(head.encode() + body, expect.encode())


def command(command_uuid: str) -> bytes:
    """A DeviceInformation command whose plist has about 520 bytes."""
    queries = ["DeviceName", "OSVersion", "BuildVersion", "ModelName", "SerialNumber"]
    payload = {"RequestType": "DeviceInformation", "Queries": queries}
    return plistlib.dumps({"CommandUUID": command_uuid, "Command": payload})


def _public(owner: rsa.RSAPrivateKey | x509.Certificate) -> bytes:
    return owner.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


_QUERY_RESPONSES: dict[str, object] = {
    "DeviceName": "Benchmark",
    "OSVersion": "15.1",
    "BuildVersion": "24B83",
    "ModelName": "MacBook Pro",
    "Model": "MacBookPro18,3",
    "SerialNumber": "C02XXXXXXXXX",
    "DeviceCapacity": 494.384,
    "AvailableDeviceCapacity": 230.117,
    "BatteryLevel": 0.87,
    "IsSupervised": True,
    "WiFiMAC": "00:11:22:33:44:55",
    "IsActivationLockEnabled": False,
}
