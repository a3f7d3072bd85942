"""Device identities: whether a key is one that Apple put into a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from appliance.config import EnrollConfig
from appliance.errors import ConfigError, MalformedMessage, NotAuthorized
from appliance.wire.cms import Signer
from appliance.wire.issuers import apple_devices, is_issued_by
from appliance.wire.pem import load_certificates

UNPROVEN = "no authority of Apple's for devices signed the device's certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentities:
    """What signs them, and whether one that nothing proves will do: in a lab, where none can."""

    authorities: Sequence[x509.Certificate]
    lab: bool = False

    def is_proven(self, signer: Signer) -> bool:
        """Tell whether an authority's key signed the certificate, on whatever day.

        Raises:
            NotAuthorized: none did, and this is no lab.
        """
        proven = any(is_issued_by(signer.certificate, one) for one in self.authorities)
        if not proven and not self.lab:
            raise NotAuthorized(UNPROVEN)
        return proven


def device_identities(config: EnrollConfig) -> DeviceIdentities:
    """Return Apple's authority, and those of the configured file beside it.

    Raises:
        ConfigError: the file cannot be used.
    """
    authorities = [apple_devices()[0]]
    if config.device_ca_file:
        try:
            authorities += load_certificates(Path(config.device_ca_file).read_bytes())
        except (OSError, MalformedMessage) as error:
            raise ConfigError(
                f"enroll.device_ca_file cannot be used: {error}",
                fix="name a readable file with certificates as PEM",
            ) from error
    return DeviceIdentities(authorities=authorities, lab=config.lab_identities)
