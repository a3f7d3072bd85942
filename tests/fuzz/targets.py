"""What is fuzzed: each target takes bytes of a stranger and may raise nothing but our errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import ApplianceError, MalformedMessage
from appliance.mdm.attributes import parse_attributes
from appliance.mdm.catalogue import build_command
from appliance.mdm.checkin import parse_checkin
from appliance.mdm.command import encode_command, parse_command, parse_result
from appliance.scep.message import decode_get_message, open_request, parse_request
from appliance.simulator.failures import SimulatorError
from appliance.simulator.profile import read_enrollment
from appliance.web.api.operation import decode_body
from appliance.web.api.schema import CommandBody, LinkBody, PushCertificateBody
from appliance.web.plain_message import read_plain_message
from appliance.wire import cms, plist, plist_reader
from appliance.wire.ber import ber2der
from appliance.wire.csr import parse_csr
from appliance.wire.envelope import open_envelope
from appliance.wire.issuers import is_issued_by
from appliance.wire.pem import load_pair, load_pkcs12
from tests.fuzz.seeds import Seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader of bytes."""

    kind: str  # of what its inputs are: see `mutations`
    seeds: Sequence[bytes]  # good inputs, to be broken
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (ApplianceError,)


def targets(seeds: Seeds) -> Mapping[str, Target]:
    """Return all targets by name."""
    pair, body = seeds.authority, seeds.messages[0]

    def scep(data: bytes) -> None:
        open_request(parse_request(data), pair.certificate, seeds.key, legacy=True)

    return {
        "plist": Target(kind="xml", seeds=seeds.messages, read=_plist),
        "checkin": Target(
            kind="xml",
            seeds=seeds.messages,
            read=lambda data: parse_checkin(plist.loads_from_device(data)),
        ),
        "report": Target(
            kind="xml",
            seeds=seeds.messages,
            read=lambda data: parse_result(plist.loads_from_device(data)),
        ),
        "attributes": Target(
            kind="xml",
            seeds=[plist.dumps({"UDID": "A-1", "SERIAL": "C1", "CHALLENGE": "c"})],
            read=parse_attributes,
        ),
        "raw-command": Target(kind="xml", seeds=seeds.commands, read=parse_command),
        "ber2der": Target(kind="der", seeds=[*seeds.signatures, *seeds.pki_messages], read=ber2der),
        "signature": Target(
            kind="der",
            seeds=seeds.signatures,
            read=lambda data: cms.verify_detached(data, body, allow_sha1=True),
        ),
        "signed-data": Target(
            kind="der",
            seeds=[*seeds.pki_messages, *seeds.signed_profiles],
            read=lambda data: cms.verify(data, allow_sha1=True),
        ),
        "scep": Target(kind="der", seeds=seeds.pki_messages, read=scep),
        "scep-attribute": Target(
            kind="der", seeds=seeds.attributes, read=lambda data: scep(seeds.with_attribute(data))
        ),
        "scep-query": Target(kind="text", seeds=seeds.queries, read=_query),
        "envelope": Target(
            kind="der",
            seeds=seeds.envelopes,
            read=lambda data: open_envelope(data, pair.certificate, seeds.key, legacy=True),
        ),
        "csr": Target(kind="der", seeds=seeds.requests, read=parse_csr),
        "head": Target(
            kind="text",
            seeds=seeds.heads,
            read=lambda data: read_plain_message(data, {seeds.start: True}, 4096),
        ),
        "csr-signed": Target(
            kind="der",
            seeds=seeds.request_infos,
            read=lambda data: parse_csr(seeds.signed_request(data)),
        ),
        "certificate": Target(
            kind="der",
            seeds=seeds.certificates,
            read=lambda data: is_issued_by(cms.signer(data).certificate, pair.certificate),
        ),
        "profile": Target(
            kind="xml",
            seeds=seeds.profiles,
            read=read_enrollment,
            refusals=(SimulatorError,),
        ),
        "key-pair": Target(kind="text", seeds=seeds.key_pairs, read=load_pair),
        "pkcs12": Target(
            kind="der", seeds=seeds.pkcs12, read=lambda data: load_pkcs12(data, "secret")
        ),
        "api-command": Target(kind="json", seeds=seeds.bodies, read=_command),
        "api-link": Target(kind="json", seeds=seeds.bodies, read=_body(LinkBody)),
        "api-push": Target(kind="json", seeds=seeds.bodies, read=_body(PushCertificateBody)),
    }


def _plist(data: bytes) -> None:
    """Whatever is accepted can be shown, and written so that it reads back the same."""
    read = plist.loads(data)
    plist.to_json(read)
    try:
        written = plist.dumps(read)
    except MalformedMessage:
        return
    assert plist_reader.read(written) == read.value


def _query(data: bytes) -> None:
    decode_get_message(data.decode("latin-1"))


def _body(kind: type[LinkBody] | type[PushCertificateBody]) -> Callable[[bytes], object]:
    return lambda data: decode_body(data, kind)


def _command(data: bytes) -> None:
    """A body that decodes is built, and what is built can be written for the device."""
    body = decode_body(data, CommandBody)
    if body.plist is not None:
        parse_command(body.plist)
    elif body.request_type is not None:
        command = build_command(body.request_type, body.parameters or {})
        encode_command("A", command)
