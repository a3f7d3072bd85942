"""A SCEP client (RFC 8894) that can also say what no honest client says."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import yarl
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance.simulator import cms
from appliance.simulator.failures import ScepFailure
from appliance.simulator.keys import Identity, Pair, PrivateKey, name, rsa_key, self_signed
from appliance.simulator.scep import (
    MESSAGE_TYPE,
    PKCS_REQ,
    PKI_STATUS,
    RENEWAL_REQ,
    CertRep,
    PkiMessage,
    certificate_request,
    read_reply,
    request_attributes,
)

__all__ = [
    "MESSAGE_TYPE", "PKCS_REQ", "PKI_STATUS", "RENEWAL_REQ", "CertRep", "PkiMessage",
    "ScepFailure", "certificate_request", "read_reply",
]  # fmt: skip

# RFC 8894 section 3.2.1.4
BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = "0", "1", "2", "3", "4"

# For messages that must be refused; no honest device uses it.
cms.DIGESTS["md5"] = cms.Digest(
    oid="1.2.840.113549.2.5",
    algorithm=hashes.MD5(),  # noqa: S303
    rsa_oid="1.2.840.113549.1.1.4",
    ecdsa_oid="1.2.840.10045.4.1",
)


@dataclass(kw_only=True)
class Options:
    """How to build a request; the defaults are those of a current client."""

    digest: str = "sha256"
    cipher: str = "aes256"
    message_type: str | None = PKCS_REQ  # None leaves the attribute out
    transaction_id: str = field(default_factory=lambda: secrets.token_hex(20))
    sender_nonce: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    constructed: bool = False
    change_attributes: Callable[[list[bytes]], list[bytes]] = list
    signature_digest: str | None = None
    sign_attributes: bool = True
    extra_signers: Sequence[Identity] = ()
    certificates: Sequence[bytes] | None = None
    envelope: bytes | None = None


def pki_message(
    request: bytes, authority: x509.Certificate, signer: Identity, options: Options
) -> PkiMessage:
    """Encrypt the request to the authority and sign the whole."""
    sealed = options.envelope or cms.envelope(
        request, authority, options.cipher, constructed=options.constructed
    )
    signers = []
    for identity in (signer, *options.extra_signers):
        attributes = request_attributes(
            sealed,
            options.digest,
            options.message_type,
            options.transaction_id,
            options.sender_nonce,
        )
        attributes = options.change_attributes(attributes)
        signers.append(
            cms.Signer(
                identity=identity,
                digest=options.digest,
                attributes=attributes if options.sign_attributes else None,
                signature_digest=options.signature_digest,
            )
        )
    return PkiMessage(
        der=cms.signed_data(sealed, signers, certificates=options.certificates),
        signer=signer,
        transaction_id=options.transaction_id,
        sender_nonce=options.sender_nonce,
    )


class ScepClient:
    """Talks to one SCEP URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, get: bool = False) -> None:
        self._session = session
        self._url = url
        self._get = get

    async def operation(self, operation: str, message: str | None = None) -> tuple[int, str, bytes]:
        """GET one operation: status, content type, body. `message` is sent as it stands."""
        separator = "&" if "?" in self._url else "?"
        url = f"{self._url}{separator}operation={operation}"
        if message is not None:
            url += f"&message={message}"
        async with self._session.get(yarl.URL(url, encoded=True)) as response:
            return response.status, response.content_type, await response.read()

    async def capabilities(self) -> set[str]:
        """GetCACaps."""
        status, _, body = await self.operation("GetCACaps")
        assert status == 200, body
        return set(body.decode().split())

    async def authority(self) -> x509.Certificate:
        """GetCACert, of a server with a single certificate."""
        status, content_type, body = await self.operation("GetCACert")
        assert (status, content_type) == (200, "application/x-x509-ca-cert"), body
        return x509.load_der_x509_certificate(body)

    async def post(self, message: bytes) -> tuple[int, bytes]:
        """PKIOperation by POST, or by GET when the client was made so."""
        if self._get:
            # macOS escapes only "=", and leaves "+" and "/" as they are.
            text = base64.b64encode(message).decode().replace("=", "%3D")
            status, _, body = await self.operation("PKIOperation", text)
            return status, body
        url = f"{self._url}{'&' if '?' in self._url else '?'}operation=PKIOperation"
        headers = {"Content-Type": "application/x-pki-message"}
        async with self._session.post(url, data=message, headers=headers) as response:
            return response.status, await response.read()

    async def exchange(self, message: PkiMessage, authority: x509.Certificate) -> CertRep:
        """Send one message and return the verified answer; ScepFailure on any refusal."""
        status, body = await self.post(message.der)
        if status != 200:
            raise ScepFailure(status=status, body=body)
        reply = read_reply(body, message, [authority])
        if reply.status != "0":
            raise ScepFailure(status=200, fail_info=reply.fail_info)
        return reply

    async def enroll(
        self,
        challenge: str | None,
        *,
        subject: Sequence[Pair] = (("CN", "device"),),
        key: PrivateKey | None = None,
        signer: Identity | None = None,
        options: Options | None = None,
        request: bytes | None = None,
    ) -> Identity:
        """PKCSReq: an identity for a challenge."""
        key = key or rsa_key()
        signer = signer or self_signed(name(*subject), key)
        request = request or certificate_request(key, name(*subject), challenge)
        authority = await self.authority()
        message = pki_message(request, authority, signer, options or Options())
        reply = await self.exchange(message, authority)
        certificate = reply.certificates[0]
        assert certificate.public_key() == key.public_key(), "issued for the requested key"
        return Identity(certificate=certificate, key=key)

    async def renew(
        self,
        identity: Identity,
        *,
        challenge: str | None = None,
        key: PrivateKey | None = None,
        subject: x509.Name | None = None,
        options: Options | None = None,
    ) -> Identity:
        """RenewalReq signed by the identity which it replaces."""
        key = key or rsa_key()
        request = certificate_request(key, subject or identity.certificate.subject, challenge)
        authority = await self.authority()
        options = options or Options(message_type=RENEWAL_REQ)
        message = pki_message(request, authority, identity, options)
        reply = await self.exchange(message, authority)
        return Identity(certificate=reply.certificates[0], key=key)
