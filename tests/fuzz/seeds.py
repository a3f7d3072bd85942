"""Good inputs of every kind, made by the simulated devices and by the libraries of others."""

from __future__ import annotations

import base64
import json
import plistlib
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from appliance.simulator import cms, der
from appliance.simulator.keys import issued_by, name, rsa_key, self_signed
from appliance.wire.certificates import new_device_ca
from tests.device import scep
from tests.simulator.fake_mdm import mdm_payload, payload, pkcs12_payload, profile

_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_UDID = "00008110-000A1C8E2E10801E"


class Seeds:
    """Everything once; the keys are fresh in each run, which the readers must not notice."""

    def __init__(self) -> None:
        self.authority = new_device_ca("Fuzz", datetime.now(UTC))
        assert isinstance(self.authority.key, rsa.RSAPrivateKey)
        self.key = self.authority.key
        self._signer = self_signed(name(("CN", "device")), rsa_key())
        curve = ec.generate_private_key(ec.SECP256R1())
        elliptic = self_signed(name(("CN", "device")), curve)
        self.certificates = [self._signer.der, elliptic.der, issued_by(elliptic, name()).der]
        self.messages = [plistlib.dumps(message) for message in _MESSAGES]
        self.commands = [
            plistlib.dumps({"CommandUUID": "A", "Command": {"RequestType": "ProfileList"}}),
            plistlib.dumps({"CommandUUID": "B", "Command": _COMMANDS[1]["parameters"]}),
        ]
        body = self.messages[0]
        self.signatures = [
            cms.sign_body(body, identity, digest=digest, attributes=attributes, indefinite=ber)
            for identity in (self._signer, elliptic)
            for digest, attributes, ber in (("sha256", False, False), ("sha1", True, True))
        ]
        self.requests = [
            scep.certificate_request(key, name(("CN", "device")), "challenge", digest=digest)
            for key in (self._signer.key, curve)
            for digest in ("sha256", "sha512")
        ]
        self._curve = curve
        self.request_infos = [
            x509.load_der_x509_csr(request).tbs_certrequest_bytes for request in self.requests[2:]
        ]
        self.envelopes = [
            cms.envelope(request, self.authority.certificate, cipher, constructed=constructed)
            for request in self.requests[:2]
            for cipher, constructed in (("aes256", False), ("3des", False), ("des", True))
        ]
        self.pki_messages = [self._pki(scep.Options(cipher=c)) for c in ("aes256", "aes128")]
        self.attributes = [
            cms.attribute(scep.MESSAGE_TYPE, der.printable("19")),
            cms.attribute("1.2.840.113549.1.9.4", der.octets(bytes(32))),
        ]
        self._files()

    def _files(self) -> None:
        signer = cms.Signer(identity=self._signer)
        identity = pkcs12_payload()
        plain = profile(identity, mdm_payload("https://mdm.example.org", identity))
        content = {"URL": "http://scep.example.org/", "Challenge": "x", "Keysize": 2048}
        asked = payload("com.apple.security.scep", PayloadContent=content)
        self.profiles = [plain, profile(asked, mdm_payload("https://mdm.example.org", asked))]
        self.signed_profiles = [cms.signed_data(plain, [signer], indefinite=True)]
        self.key_pairs = [self._signer.pem]
        self.pkcs12 = [
            pkcs12.serialize_key_and_certificates(
                b"push", self._signer.key, self._signer.certificate, None,
                BestAvailableEncryption(b"secret"),
            )
        ]  # fmt: skip
        self.start = b"PUT /mdm HTTP/1.1"
        signature = base64.b64encode(self.signatures[0])
        self.heads = [
            self.start
            + b"\r\nHost: localhost \r\nContent-Type:\t text/xml\r\n%bMdm-Signature: " % connection
            + signature
            + b"\r\nContent-Length: %d\r\n\r\n" % len(self.messages[0])
            + self.messages[0]
            for connection in (b"", b"Connection: keep-alive\r\n")
        ]
        self.queries: Sequence[bytes] = [
            b"operation=PKIOperation&message=" + text
            for message in self.pki_messages
            for text in (
                base64.b64encode(message),
                quote(base64.b64encode(message).decode(), safe="").encode(),
            )
        ]
        self.bodies = [json.dumps(body).encode() for body in (*_COMMANDS, *_OTHERS)]

    def _pki(self, options: scep.Options) -> bytes:
        request = self.requests[0]
        return scep.pki_message(request, self.authority.certificate, self._signer, options).der

    def signed_request(self, info: bytes) -> bytes:
        """A certification request that says `info`, with its signature by an EC key."""
        signature = self._curve.sign(info, ec.ECDSA(hashes.SHA256()))
        bits = der.tlv(0x03, b"\0", signature)
        return der.sequence(info, der.sequence(der.oid(_ECDSA_SHA256)), bits)

    def with_attribute(self, attribute: bytes) -> bytes:
        """A pkiMessage, correctly signed, whose messageType attribute is these bytes."""
        options = scep.Options(
            envelope=self.envelopes[0], message_type=None,
            change_attributes=lambda attributes: [*attributes, attribute],
        )  # fmt: skip
        return self._pki(options)


_MESSAGES: list[dict[str, object]] = [
    {"Status": "Idle", "UDID": _UDID},
    {
        "MessageType": "Authenticate", "UDID": _UDID, "Topic": "com.apple.mgmt.External.x",
        "BuildVersion": "22F66", "OSVersion": "18.5", "ProductName": "iPhone15,3",
        "SerialNumber": "C02XK1ZZJG5J", "DeviceName": "Telefon ☎", "Model": "MQ9X3",
    },
    {
        "MessageType": "TokenUpdate", "UDID": _UDID, "Topic": "com.apple.mgmt.External.x",
        "Token": bytes(32), "PushMagic": "MAGIC", "UnlockToken": bytes(300),
        "AwaitingConfiguration": False, "UserID": "7", "UserShortName": "x", "NotOnConsole": True,
    },
    {"MessageType": "SetBootstrapToken", "UDID": _UDID, "BootstrapToken": bytes(20)},
    {"MessageType": "DeclarativeManagement", "UDID": _UDID, "Endpoint": "tokens", "Data": b"{}"},
    {"MessageType": "CheckOut", "EnrollmentID": "E", "Topic": "com.apple.mgmt.External.x"},
    {
        "Status": "Error", "UDID": _UDID, "CommandUUID": "A",
        "ErrorChain": [
            {"ErrorCode": 12021, "ErrorDomain": "MCMDMErrorDomain", "LocalizedDescription": "x"}
        ],
    },
    {
        "Status": "Acknowledged", "UDID": _UDID, "CommandUUID": "A",
        "QueryResponses": {
            "BatteryLevel": 0.5, "IsSupervised": True, "AvailableDeviceCapacity": 12,
            "OSUpdateSettings": {"CatalogURL": "", "PreviousScanDate": datetime(2026, 1, 2)},
            "ServiceSubscriptions": [{"IMEI": "35 123", "Slot": "CTSubscriptionSlotOne"}],
        },
    },
]  # fmt: skip
_COMMANDS: list[dict[str, object]] = [
    {
        "targets": ["A"], "request_type": "DeviceInformation",
        "parameters": {"Queries": ["UDID", "OSVersion"]}, "expires_at": "2026-12-01T00:00:00Z",
    },
    {
        "targets": ["A", "B"], "request_type": "Settings",
        "parameters": {
            "RequestType": "Settings",
            "Settings": [
                {"Item": "DeviceName", "DeviceName": "x"}, {"Item": "Bluetooth", "Enabled": True}
            ],
        },
    },
    {
        "targets": ["A"], "request_type": "EraseDevice", "parameters": {"PIN": "123456"},
        "confirm": {"serial_number": "C02"}, "undo_seconds": 10, "reason": "lost",
    },
    {
        "targets": ["A"], "request_type": "InstallProfile",
        "parameters": {"Payload": "PD94bWw="}, "push": False,
    },
    {"targets": ["A"], "plist": base64.b64encode(plistlib.dumps({"CommandUUID": "A"})).decode()},
]  # fmt: skip
_OTHERS: list[dict[str, object]] = [
    {"uses": 5, "expires_in": "7d", "label": "Kiosk"},
    {"certificate": "-----BEGIN", "private_key": "x", "pkcs12": "AAAA", "password": "p"},
]
