"""Why a simulated device does not do what it is told, in Apple's domains and codes."""

from __future__ import annotations

from typing import Any

MDM = "MCMDMErrorDomain"
PROFILE = "MCProfileErrorDomain"
PAYLOAD = "MCPayloadErrorDomain"
INSTALLATION = "MCInstallationErrorDomain"
CERTIFICATE = "MCCertificateErrorDomain"
PASSCODE = "MCPasscodeErrorDomain"
PROVISIONING = "MCProvisioningProfileErrorDomain"
SETTINGS = "MCSettingsErrorDomain"
CHAPERONE = "MCChaperoneErrorDomain"


class Refusal(Exception):
    """A command that ends with Error; `cause` becomes the next entry of the ErrorChain."""

    def __init__(
        self,
        domain: str,
        code: int,
        description: str,
        *,
        cause: Refusal | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(description)
        self.domain = domain
        self.code = code
        self.description = description
        self.cause = cause
        self.body = body or {}  # what stands in the report beside the ErrorChain

    @property
    def chain(self) -> list[dict[str, Any]]:
        """The ErrorChain: this error first, then what caused it."""
        entry = {
            "ErrorDomain": self.domain,
            "ErrorCode": self.code,
            "LocalizedDescription": self.description,
            "USEnglishDescription": self.description,
        }
        return [entry, *(self.cause.chain if self.cause else ())]


class Malformed(Exception):
    """A command whose keys are missing or of a wrong type: CommandFormatError."""


class NotNow(Exception):
    """A command that waits until the device is unlocked."""


def unknown_request(request_type: str, *, mac: bool) -> Refusal:
    """Return what a device says to a request type it does not have."""
    if mac:
        return Refusal(MDM, 12021, f"Unknown command: {request_type} <MDMClientError:91>")
    return Refusal(MDM, 12021, f"“{request_type}” is not a valid request type.")


def not_supervised() -> Refusal:
    """Return what a device says that would have to be supervised."""
    return Refusal(CHAPERONE, 29000, "The device is not supervised.")
