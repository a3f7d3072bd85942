"""Reads an enrollment profile the way a device does: signed or plain, payload by payload."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from . import cms


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A configuration profile and, when it was signed, its signer."""

    plist: Mapping[str, Any]
    xml: bytes
    signer: x509.Certificate | None

    @classmethod
    def read(cls, data: bytes) -> Profile:
        """Read the file; a wrong signature is an AssertionError or InvalidSignature."""
        signer, xml = None, data
        if data[:1] == b"\x30":
            verified = cms.verify(data)
            assert verified.content is not None, "a signed profile holds its content"
            signer, xml = verified.signer, verified.content
        return cls(plist=plistlib.loads(xml), xml=xml, signer=signer)

    def payloads(self, payload_type: str) -> list[Mapping[str, Any]]:
        """All payloads of one type."""
        return [p for p in self.plist["PayloadContent"] if p["PayloadType"] == payload_type]

    def payload(self, payload_type: str) -> Mapping[str, Any]:
        """The only payload of one type."""
        (found,) = self.payloads(payload_type)
        return found

    @property
    def mdm(self) -> Mapping[str, Any]:
        """The `com.apple.mdm` payload."""
        return self.payload("com.apple.mdm")

    @property
    def scep(self) -> Mapping[str, Any]:
        """What the `com.apple.security.scep` payload nests in its PayloadContent."""
        content: Mapping[str, Any] = self.payload("com.apple.security.scep")["PayloadContent"]
        return content

    @property
    def subject(self) -> list[tuple[str, str]]:
        """The subject that the device asks for, as pairs."""
        return [(key, value) for rdn in self.scep.get("Subject", []) for key, value in rdn]

    @property
    def roots(self) -> list[x509.Certificate]:
        """Certificates that the profile makes the device trust."""
        return [
            x509.load_der_x509_certificate(payload["PayloadContent"])
            for payload in self.payloads("com.apple.security.root")
        ]
