"""SCEP as an independent client speaks it, and as real devices have spoken it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadSignature, MalformedMessage, ScepRefused, UnsupportedAlgorithm
from appliance.scep import message as scep
from appliance.simulator import cms as device_cms
from appliance.simulator import der as device_der
from appliance.simulator.keys import Identity, name, rsa_key, self_signed
from appliance.simulator.scep import SENDER_NONCE
from appliance.wire import certificates
from appliance.wire.envelope import Cipher
from appliance.wire.identities import IdentityIssuer
from tests.device import scep as device

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
REFUSALS = (BadSignature, MalformedMessage, UnsupportedAlgorithm)
SUBJECT = name(("CN", "device"))


@cache
def _ca() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    pair = certificates.new_device_ca("Example Ltd", NOW)
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    return pair.certificate, pair.key


@cache
def _phone() -> Identity:
    return self_signed(SUBJECT, rsa_key())


def _message(
    options: device.Options | None = None, *, request: bytes | None = None
) -> device.PkiMessage:
    phone = _phone()
    request = request or device.certificate_request(phone.key, SUBJECT, "sesame")
    return device.pki_message(request, _ca()[0], phone, options or device.Options())


def _issue(public_key: certificates.PublicKey) -> bytes:
    issuer = IdentityIssuer(*_ca())
    made = issuer.issue(public_key, common_name="UDID", serial_number=1, now=NOW, days=730)
    return made.der


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "3des", "des"])
@pytest.mark.parametrize("message_type", [scep.PKCS_REQ, scep.RENEWAL_REQ])
def test_a_client_gets_its_certificate_in_its_own_cipher_and_digest(
    digest: str, cipher: str, message_type: str
) -> None:
    message = _message(device.Options(digest=digest, cipher=cipher, message_type=message_type))

    request = scep.parse_request(message.der)
    csr, answer_cipher = scep.open_request(request, *_ca(), legacy=True)
    issued = _issue(csr.public_key)
    reply = scep.success(request, scep.seal(request, issued, answer_cipher), *_ca())

    assert request.transaction_id == message.transaction_id
    assert csr.challenge_password == "sesame"
    read = device.read_reply(reply, message, [_ca()[0]])
    assert (read.status, read.digest) == ("0", digest)
    assert list(read.certificates) == [x509.load_der_x509_certificate(issued)]
    assert read.opened is not None
    assert read.opened.cipher == ("3des" if cipher == "des" else cipher)


def test_a_failure_names_its_reason_and_carries_no_content() -> None:
    message = _message()
    request = scep.parse_request(message.der)
    for fail_info in (scep.BAD_ALG, scep.BAD_REQUEST, scep.BAD_CERT_ID):
        reply = scep.failure(request, fail_info, *_ca())
        read = device.read_reply(reply, message, [_ca()[0]])
        assert (read.status, read.fail_info) == ("2", str(fail_info))


def test_two_answers_never_share_a_nonce() -> None:
    request = scep.parse_request(_message().der)
    nonces = {
        device_cms.verify(scep.failure(request, 2, *_ca())).attributes[SENDER_NONCE]
        for _ in range(5)
    }
    assert len(nonces) == 5


@pytest.mark.parametrize("message_type", [*map(str, range(256)), "19 ", "019", "", "+19"])
def test_b04_only_19_and_17_are_opened(message_type: str) -> None:
    request = scep.parse_request(_message(device.Options(message_type=message_type)).der)
    assert request.message_type == message_type
    if message_type in ("17", "19"):
        scep.open_request(request, *_ca(), legacy=False)
        return
    with pytest.raises(ScepRefused) as refused:
        scep.open_request(request, *_ca(), legacy=True)
    assert refused.value.fail_info == scep.BAD_REQUEST


def test_b04_no_message_type_and_two_message_types_are_malformed() -> None:
    extra = device_cms.attribute(device.MESSAGE_TYPE, device_der.printable("17"))
    for options in (
        device.Options(message_type=None),
        device.Options(change_attributes=lambda attributes: [*attributes, extra]),
        device.Options(change_attributes=lambda attributes: [*attributes, attributes[2]]),
    ):
        with pytest.raises(MalformedMessage):
            scep.parse_request(_message(options).der)


def test_b04_message_type_must_be_a_printable_string() -> None:
    octets = device_cms.attribute(device.MESSAGE_TYPE, device_der.octets(b"19"))
    options = device.Options(
        message_type=None, change_attributes=lambda attributes: [*attributes, octets]
    )
    with pytest.raises(MalformedMessage):
        scep.parse_request(_message(options).der)


@pytest.mark.parametrize("index", [3, 4])
def test_transaction_and_nonce_are_required(index: int) -> None:
    options = device.Options(
        change_attributes=lambda attributes: attributes[:index] + attributes[index + 1 :]
    )
    with pytest.raises(MalformedMessage):
        scep.parse_request(_message(options).der)


def test_identifiers_of_any_reasonable_length_are_returned_verbatim() -> None:
    for nonce, transaction in ((b"", "x"), (b"n" * 8, "A" * 255), (b"n" * 64, "a b'()+,-./:=?")):
        message = _message(device.Options(sender_nonce=nonce, transaction_id=transaction))
        request = scep.parse_request(message.der)
        device.read_reply(scep.failure(request, 2, *_ca()), message, [_ca()[0]])
    for options in (
        device.Options(sender_nonce=b"n" * 65),
        device.Options(transaction_id="A" * 256),
        device.Options(transaction_id=""),
    ):
        with pytest.raises(MalformedMessage):
            scep.parse_request(_message(options).der)


def test_b15_a_signature_without_attributes_is_refused() -> None:
    with pytest.raises(REFUSALS):
        scep.parse_request(_message(device.Options(sign_attributes=False)).der)


def test_b16_two_signers_are_refused() -> None:
    with pytest.raises(REFUSALS):
        scep.parse_request(_message(device.Options(extra_signers=[_phone()])).der)


def test_without_legacy_neither_sha1_nor_des_is_accepted() -> None:
    with pytest.raises(UnsupportedAlgorithm):
        scep.parse_request(_message(device.Options(digest="sha1")).der, legacy=False)
    request = scep.parse_request(_message(device.Options(cipher="des")).der, legacy=False)
    with pytest.raises(ScepRefused) as refused:
        scep.open_request(request, *_ca(), legacy=False)
    assert refused.value.fail_info == scep.BAD_ALG
    assert "SHA-1" in scep.capabilities(legacy=True).split("\n")
    assert "SHA-1" not in scep.capabilities(legacy=False).split("\n")


def _refusal(message: device.PkiMessage) -> int:
    request = scep.parse_request(message.der)
    with pytest.raises(ScepRefused) as refused:
        scep.open_request(request, *_ca(), legacy=True)
    return refused.value.fail_info


def test_b09_a_weak_key_in_a_sound_message_is_bad_alg() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    csr = device.certificate_request(weak, SUBJECT, "sesame")
    assert _refusal(_message(request=csr)) == scep.BAD_ALG


def test_b18_what_cannot_be_read_is_always_bad_request() -> None:
    other = certificates.new_device_ca("Other", NOW).certificate
    sealed_to_other = device_cms.envelope(b"x", other, "aes128")
    for message in (
        _message(request=b"no certification request"),
        _message(device.Options(envelope=b"no envelope")),
        _message(device.Options(envelope=sealed_to_other)),
        _message(request=device.certificate_request(_phone().key, SUBJECT, "x") + b"\0"),
    ):
        assert _refusal(message) == scep.BAD_REQUEST


def test_a_signer_that_cannot_be_answered_is_bad_alg() -> None:
    signer = self_signed(SUBJECT, ec.generate_private_key(ec.SECP256R1()))
    csr = device.certificate_request(signer.key, SUBJECT, "sesame")
    message = device.pki_message(csr, _ca()[0], signer, device.Options())
    assert _refusal(message) == scep.BAD_ALG


def test_constructed_ciphertext_is_opened() -> None:
    request = scep.parse_request(_message(device.Options(constructed=True)).der)
    csr, cipher = scep.open_request(request, *_ca(), legacy=False)
    assert csr.public_key == _phone().key.public_key()
    assert cipher is Cipher.AES_256


@pytest.mark.skipif(not CAPTURES.exists(), reason="captures are not here")
@pytest.mark.parametrize(
    ("capture", "digest"),
    [("scep-PKCSReq.der", "sha1"), ("macos-mdmclient-PKIOperation.der", "sha512")],
)
def test_messages_of_real_clients_are_read(capture: str, digest: str) -> None:
    request = scep.parse_request((CAPTURES / capture).read_bytes())
    assert request.message_type == scep.PKCS_REQ
    assert request.digest == digest
    assert len(request.sender_nonce) == 8
    assert len(request.transaction_id) == 40
    with pytest.raises(ScepRefused):  # sealed to somebody else's CA
        scep.open_request(request, *_ca(), legacy=True)


def test_get_message_survives_what_clients_do_to_base64() -> None:
    payload = bytes(range(248, 256)) * 5 + b"\xff"
    standard = base64.b64encode(payload).decode()
    assert "+" in standard and "/" in standard and standard.endswith("=")
    for text in (
        standard,
        standard.replace("=", "%3D"),
        standard.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        standard.replace("+", "%20"),
        standard.rstrip("="),
        base64.urlsafe_b64encode(payload).decode(),
    ):
        assert scep.decode_get_message(f"operation=PKIOperation&message={text}") == payload


@pytest.mark.parametrize(
    "query", ["", "operation=PKIOperation", "message=%", "message=a", "message=é*"]
)
def test_a_get_without_a_usable_message_is_malformed(query: str) -> None:
    with pytest.raises(MalformedMessage):
        scep.decode_get_message(query)


@pytest.mark.filterwarnings("ignore")
def test_b10_truncated_at_every_byte() -> None:
    der = _message().der
    for end in range(len(der)):
        with pytest.raises(REFUSALS):
            scep.parse_request(der[:end])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3)), min_size=1, max_size=4))
def test_b10_mutations_raise_only_our_own_errors(edits: list[tuple[int, bytes]]) -> None:
    der = bytearray(_message().der)
    for offset, new in edits:
        start = offset % len(der)
        der[start : start + len(new)] = new
    try:
        scep.open_request(scep.parse_request(bytes(der)), *_ca(), legacy=True)
    except (*REFUSALS, ScepRefused):
        pass


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_b10_any_plaintext_is_refused_as_bad_request_or_bad_alg(plaintext: bytes) -> None:
    request = scep.parse_request(_message(request=plaintext or b"\0").der)
    with pytest.raises(ScepRefused) as refused:
        scep.open_request(request, *_ca(), legacy=True)
    assert refused.value.fail_info in (scep.BAD_REQUEST, scep.BAD_ALG)
