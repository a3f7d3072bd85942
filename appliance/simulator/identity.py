"""Gets a device its identity: by SCEP over the network, or out of a PKCS#12 payload."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from appliance.simulator import cms, der, scep
from appliance.simulator.failures import MessageRefused, ProfileRefused, ScepFailure, ServerRefused
from appliance.simulator.keys import Identity, PrivateKey, attribute, self_signed
from appliance.simulator.profile import Pkcs12Payload, ScepPayload
from appliance.simulator.transport import Request, Transport

_FINGERPRINTS = {16: "md5", 20: "sha1", 32: "sha256"}
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C


def identity_of(payload: Pkcs12Payload) -> Identity:
    """The identity in a PKCS#12 payload; ProfileRefused when it cannot be opened."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(
            payload.data, payload.password.encode()
        )
    except ValueError as error:
        raise ProfileRefused(f"the PKCS#12 payload cannot be opened: {error}") from error
    if certificate is None or not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ProfileRefused("the PKCS#12 payload holds no certificate with its key")
    return Identity(certificate=certificate, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who asks for a certificate: `variables` are what a Mac replaces in the subject."""

    key: PrivateKey
    fallback_name: str
    variables: dict[str, str]
    clock: timedelta = timedelta()  # how far the device's clock is off


class ScepClient:
    """Talks to the SCEP server of one payload."""

    def __init__(self, transport: Transport, payload: ScepPayload, tls: ssl.SSLContext) -> None:
        self._transport = transport
        self._payload = payload
        self._tls = tls
        self._capabilities: frozenset[str] = frozenset()

    async def enroll(self, applicant: Applicant) -> Identity:
        """GetCACaps, GetCACert, PKCSReq, and CertPoll while it is pending.

        Raises ScepFailure, MessageRefused, ServerRefused, Unreachable or ProfileRefused.
        """
        self._capabilities = await self._get_capabilities()
        authorities = await self._get_authorities()
        now = datetime.now().astimezone() + applicant.clock
        subject = subject_of(self._payload, applicant)
        sender = scep.Sender(
            signer=self_signed(subject, applicant.key, not_before=now - timedelta(minutes=10)),
            digest=self._digest(),
            cipher="aes128" if self._capabilities & {"AES", "SCEPSTANDARD"} else "3des",
            signed_at=now,
        )
        request = scep.certificate_request(
            applicant.key,
            subject,
            self._payload.challenge,
            digest=sender.digest,
            extensions=_extensions(self._payload),
        )
        reply = await self._transact(sender, request, authorities)
        certificate = reply.certificates[0]
        if certificate.public_key() != applicant.key.public_key():
            raise MessageRefused("the certificate is not for the key that was asked for")
        return Identity(certificate=certificate, key=applicant.key)

    async def _transact(
        self, sender: scep.Sender, request: bytes, authorities: Sequence[x509.Certificate]
    ) -> scep.CertRep:
        recipient = _recipient(authorities)
        message = scep.pki_message(request, recipient, sender)
        reply = scep.read_reply(await self._post(message.der), message, authorities)
        question = scep.issuer_and_subject(authorities[-1], sender.signer.certificate.subject)
        for attempt in range(self._payload.retries):
            if reply.status != scep.PENDING:
                break
            await asyncio.sleep(self._payload.retry_delay if attempt else 0)
            message = scep.pki_message(question, recipient, sender, scep.CERT_POLL)
            reply = scep.read_reply(await self._post(message.der), message, authorities)
        if reply.status == scep.PENDING:
            raise ScepFailure(status=200, body=b"still pending")
        if reply.status != scep.SUCCESS or not reply.certificates:
            raise ScepFailure(status=200, fail_info=reply.fail_info)
        return reply

    async def _get_capabilities(self) -> frozenset[str]:
        body = (await self._get("GetCACaps", self._payload.name)).decode("latin-1")
        found = frozenset(word.upper() for word in body.split())
        if not found & {"SHA-1", "SHA-256", "SHA-512", "SCEPSTANDARD"} or not found & {
            "AES",
            "DES3",
            "SCEPSTANDARD",
        }:
            raise MessageRefused("GetCACaps names no digest or no cipher that a device accepts")
        return found

    async def _get_authorities(self) -> list[x509.Certificate]:
        body = await self._get("GetCACert", self._payload.name)
        try:
            found = [x509.load_der_x509_certificate(body)]
        except ValueError:
            try:
                found = cms.certificates_of(body)
            except (ValueError, TypeError) as error:
                raise MessageRefused(f"GetCACert gave no certificates: {error}") from error
        wanted = self._payload.fingerprint
        if wanted:
            name = _FINGERPRINTS.get(len(wanted), "sha512")
            prints = {hashlib.new(name, cms.encoded(each)).digest() for each in found}
            if wanted not in prints:
                raise MessageRefused("no certificate of GetCACert has the CAFingerprint")
        return found

    def _digest(self) -> str:
        if self._capabilities & {"SHA-256", "SCEPSTANDARD"}:
            return "sha256"
        return "sha512" if "SHA-512" in self._capabilities else "sha1"

    async def _get(self, operation: str, message: str = "") -> bytes:
        return await self._send("GET", operation, message=message)

    async def _post(self, message: bytes) -> bytes:
        if self._capabilities & {"POSTPKIOPERATION", "SCEPSTANDARD"}:
            return await self._send("POST", "PKIOperation", body=message)
        # A Mac escapes only "=", and leaves "+" and "/" as they are.
        text = base64.b64encode(message).decode().replace("=", "%3D")
        return await self._send("GET", "PKIOperation", message=text)

    async def _send(
        self, method: str, operation: str, *, message: str = "", body: bytes | None = None
    ) -> bytes:
        url = f"{self._payload.url}{'&' if '?' in self._payload.url else '?'}operation={operation}"
        if message:
            url += f"&message={message}"
        headers = {"Content-Type": "application/x-pki-message"} if body is not None else None
        request = Request(method=method, url=url, tls=self._tls, body=body, headers=headers)
        reply = await self._transport.send(request)
        if reply.status != 200:
            raise ServerRefused(f"SCEP {operation}", reply.status, reply.body)
        return reply.body


def subject_of(payload: ScepPayload, applicant: Applicant) -> x509.Name:
    """The subject to ask for: the payload's with its variables replaced, else a common name."""
    rdns = payload.subject or ((("CN", applicant.fallback_name),),)
    try:
        return x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [attribute((key, _replaced(value, applicant.variables))) for key, value in rdn]
                )
                for rdn in rdns
            ]
        )
    except ValueError as error:
        raise ProfileRefused(f"the SCEP payload's Subject: {error}") from error


def _replaced(text: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace(f"%{name}%", value)
    return text


def _recipient(authorities: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate to encrypt to: chosen by its key usage, as a Mac does."""
    for certificate in authorities:
        try:
            usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            continue
        if usage.key_encipherment:
            return certificate
    return authorities[0]


def _extensions(payload: ScepPayload) -> list[tuple[x509.ExtensionType, bool]]:
    usage = payload.key_usage or 1
    found: list[tuple[x509.ExtensionType, bool]] = [
        (key_usage(signs=bool(usage & 1), encrypts=bool(usage & 4)), True)
    ]
    names = _alternative_names(payload)
    if names:
        found.append((x509.SubjectAlternativeName(names), False))
    return found


def key_usage(*, signs: bool, encrypts: bool) -> x509.KeyUsage:
    """The usages that a SCEP payload can ask for."""
    return x509.KeyUsage(
        digital_signature=signs,
        key_encipherment=encrypts,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(payload: ScepPayload) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for key, value in payload.alternative_names.items():
        for text in [value] if isinstance(value, str) else value:
            match key:
                case "rfc822Name":
                    names.append(x509.RFC822Name(text))
                case "dNSName":
                    names.append(x509.DNSName(text))
                case "uniformResourceIdentifier":
                    names.append(x509.UniformResourceIdentifier(text))
                case "ntPrincipalName":
                    names.append(x509.OtherName(_UPN, der.tlv(_UTF8_STRING, text.encode())))
                case _:
                    pass
    return names
