"""The profiles that the server itself makes, signed: trust, enrollment, over the air."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.config import ServerConfig
from appliance.errors import Conflict
from appliance.mdm.profile import (
    EnrollmentProfile,
    ProfileService,
    TrustProfile,
    enrollment_profile,
    identity_profile,
    profile_service,
    trust_profile,
)
from appliance.services.clock import now_ms, refuse_behind
from appliance.services.data_directory import Keys
from appliance.services.push_certificates import PushCertificates
from appliance.wire import certificates, signing
from appliance.wire.certificates import KeyPair


class Profiles:
    """Makes and signs them; what they give a right to is for others to store."""

    def __init__(
        self,
        config: ServerConfig,
        keys: Keys,
        push_certificates: PushCertificates,
        signer: Callable[[], KeyPair],
    ) -> None:
        """Keep what profiles are made of; `signer` returns the present TLS pair."""
        self._config = config
        self._keys = keys
        self._push_certificates = push_certificates
        self._signer = signer

    async def topic(self) -> str:
        """Return the push topic of a new enrollment.

        Raises:
            Conflict: `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        refuse_behind(now_ms())
        topic = await self._push_certificates.topic()
        if topic is None:
            raise Conflict(
                "nobody can enroll before there is a push certificate",
                code="push_certificate.missing",
                why="a device keeps the topic that it enrolled with, and that is the certificate's",
                fix="import one with `appliance push-cert import`",
            )
        return topic

    async def enrollment(self, topic: str, challenge: str) -> bytes:
        """Return the profile that enrolls a device, with this challenge for its identity."""
        return await self._signed(enrollment_profile(self._contents(topic, challenge)))

    async def identity(self, topic: str, challenge: str) -> bytes:
        """Return the profile that gives a device an identity for this challenge, and no more."""
        return await self._signed(identity_profile(self._contents(topic, challenge)))

    async def service(self, challenge: str) -> bytes:
        """Return what asks a device to sign who it is, together with this challenge."""
        url, organization = self._config.base_url, self._config.organization
        service = ProfileService(
            server_url=url,
            organization=organization,
            url=f"{url}/ota",
            challenge=challenge,
            display_name=f"{organization} device management",
        )
        return await self._signed(profile_service(service))

    async def trust(self) -> bytes:
        """Return the profile that installs our trust anchor, and nothing else."""
        profile = TrustProfile(
            server_url=self._config.base_url,
            organization=self._config.organization,
            roots=[_der(self._keys.root_certificate)],
            display_name=f"Trust {self._config.organization}",
        )
        return await self._signed(trust_profile(profile))

    def _contents(self, topic: str, challenge: str) -> EnrollmentProfile:
        url, organization = self._config.base_url, self._config.organization
        own_tls = bool(self._config.tls_certificate)
        return EnrollmentProfile(
            server_url=url,
            organization=organization,
            topic=topic,
            mdm_url=f"{url}/mdm",
            checkin_url=f"{url}/mdm",  # the same; some simulators know no default
            scep_url=f"{url}/scep",
            challenge=challenge,
            nonce=str(uuid.uuid4()),
            ca_fingerprint=certificates.fingerprint(self._keys.ca_certificate),
            roots=[] if own_tls else [_der(self._keys.root_certificate)],
            display_name=f"{organization} device management",
            description=f"Lets {organization} manage this device.",
        )

    async def _signed(self, profile: bytes) -> bytes:
        pair = self._signer()
        return await asyncio.to_thread(
            signing.sign, profile, pair.certificate, pair.key, chain=pair.chain
        )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
