"""Proves that this build is whole: each check uses what it names and compares the outcome.

No check touches a data directory or the network, and none leaves anything behind.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding

from appliance import __version__, resources
from appliance.apns.credentials import push_ssl_context
from appliance.apns.sender import PushSender
from appliance.mdm.catalogue import catalogue
from appliance.scep import message as scep
from appliance.services.vault import Vault
from appliance.simulator import keys as simulated_keys
from appliance.simulator import scep as client
from appliance.store.database import Database
from appliance.web import openapi, pages
from appliance.web.assets import assets
from appliance.web.languages import NAMES, Language
from appliance.web.platforms import Platform
from appliance.wire import certificates, cms, plist, seal, signing
from appliance.wire.envelope import Cipher, open_envelope, seal_envelope
from appliance.wire.identities import IdentityIssuer

_CHILD_SECONDS = 30
_CHALLENGE = "one-time"
_TEXT = "登録プロファイル".encode()


class Broken(Exception):
    """What a check found to be different from what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One check: `detail` says what was there, `error` what is wrong, or is empty."""

    name: str
    ok: bool
    milliseconds: float
    detail: str = ""
    error: str = ""


def run_checks(checks: Mapping[str, Callable[[], str]]) -> list[Outcome]:
    """Run every check, also after one has failed."""
    return [_run(name, check) for name, check in checks.items()]


def _run(name: str, check: Callable[[], str]) -> Outcome:
    began = time.perf_counter()
    detail, problem = "", ""
    try:
        detail = check()
    except Exception as error:  # whatever it is, the build is not whole
        problem = f"{type(error).__name__}: {error}"
    milliseconds = round((time.perf_counter() - began) * 1000, 1)
    return Outcome(
        name=name, ok=not problem, milliseconds=milliseconds, detail=detail, error=problem
    )


def _demand(holds: bool, complaint: str) -> None:
    if not holds:
        raise Broken(complaint)


def _check_files() -> str:
    found = resources.digests()
    recorded = resources.recorded_digests()
    if recorded is not None:
        differing = sorted(dict(found.items() ^ recorded.items()))
        _demand(not differing, f"not as they were built: {', '.join(differing)}")
    assets()
    return f"{len(found)} files" + ("" if recorded is None else " as they were built")


def _check_catalogue() -> str:
    known = catalogue()
    _demand("DeviceInformation" in known, "DeviceInformation is missing")
    return f"{len(known)} commands"


def _check_pages() -> str:
    names = sorted(pages.templates())
    for language in Language:
        environment = pages.environment(language)
        for name in names:
            environment.get_template(name)
        for page in _sample_pages():
            html = pages.render(page, language)
            _demand("Example" in html, f"{page.template} does not show its organization")
    return f"{len(names)} templates in {', '.join(NAMES.values())}"


def _sample_pages() -> list[pages.Page]:
    url = "https://mdm.example.com/enroll/CODE"
    return [
        pages.HomePage(organization="Example", host="mdm.example.com", version=__version__),
        pages.EnrollPage(
            organization="Example",
            host="mdm.example.com",
            url=url,
            profile_url=f"{url}/profile",
            platform=Platform.MAC,
        ),
    ]


def _check_api() -> str:
    described = json.dumps(openapi.document())
    # The descriptions are docstrings, which an optimized build can lose.
    _demand('"description": "' in described, "the descriptions are gone")
    return f"{len(openapi.document()['paths'])} paths"


def _check_store() -> str:
    async def migrated() -> int:
        with tempfile.TemporaryDirectory() as folder:
            database = await Database.open(Path(folder, "appliance.db"))
            try:
                await database.write(lambda db: db.execute("CREATE TABLE written (x)"))
                count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
                tables: int = await database.read(lambda db: db.execute(count).fetchone()[0])
                answer = await database.read(lambda db: db.execute("PRAGMA quick_check").fetchone())
                _demand(answer[0] == "ok", f"quick_check says {answer[0]}")
            finally:
                await database.close()
        return tables

    return f"{asyncio.run(migrated())} tables"


def _check_signatures() -> str:
    now = datetime.now(UTC)
    for pair in (certificates.new_device_ca("Example", now), certificates.new_tls_root("X", now)):
        signed = cms.verify(signing.sign(_TEXT, pair.certificate, pair.key), allow_sha1=False)
        _demand(signed.content == _TEXT, "the signed content differs")
    return "RSA, P-256"


def _check_encryption() -> str:
    pair = certificates.new_device_ca("Example", datetime.now(UTC))
    if not isinstance(pair.key, RSAPrivateKey):
        raise Broken("the authority's key is not RSA")
    recipient = cms.signer(pair.certificate.public_bytes(Encoding.DER))
    for cipher in Cipher:
        sealed = seal_envelope(_TEXT, recipient, cipher)
        opened = open_envelope(sealed, pair.certificate, pair.key, legacy=True)
        _demand(opened.content == _TEXT, f"{cipher} decrypts to something else")
    return ", ".join(Cipher)


def _check_scep() -> str:
    authority = certificates.new_device_ca("Example", datetime.now(UTC))
    if not isinstance(authority.key, RSAPrivateKey):
        raise Broken("the authority's key is not RSA")
    own = authority.certificate, authority.key
    device = simulated_keys.self_signed(simulated_keys.name(("CN", "device")))
    csr = client.certificate_request(device.key, device.certificate.subject, _CHALLENGE)
    sent = client.pki_message(csr, authority.certificate, client.Sender(signer=device))
    request = scep.parse_request(sent.der)
    wish, cipher = scep.open_request(request, *own, legacy=False)
    _demand(wish.challenge_password == _CHALLENGE, "the challenge differs")
    issued = IdentityIssuer(*own).issue(
        wish.public_key,
        common_name="device",
        serial_number=certificates.new_serial_number(),
        now=datetime.now(UTC),
        days=1,
    )
    reply = scep.success(request, scep.seal(request, issued.der, cipher), *own)
    received = client.read_reply(reply, sent, [authority.certificate])
    expected = [x509.load_der_x509_certificate(issued.der)]
    _demand(list(received.certificates) == expected, "the device got another certificate")
    return "a simulated device got its certificate"


def _check_vault() -> str:
    vault = Vault(seal.new_key())
    opened = vault.open("unlock_token", "A", vault.seal("unlock_token", "A", _TEXT))
    _demand(opened == _TEXT, "a sealed secret opens to something else")
    return "AES-256-GCM"


def _check_backup() -> str:
    identity = pyrage.x25519.Identity.generate()
    sealed = pyrage.encrypt(_TEXT, [identity.to_public()])
    _demand(pyrage.decrypt(sealed, [identity]) == _TEXT, "a backup opens to something else")
    return "age"


def _check_passwords() -> str:
    made = Argon2id(salt=b"0" * 16, length=32, iterations=1, lanes=1, memory_cost=8192)
    Argon2id.verify_phc_encoded(b"secret", made.derive_phc_encoded(b"secret"))
    return "Argon2id"


def _check_plist() -> str:
    value: plist.Value = {"Text": _TEXT.decode(), "Data": b"\x00", "Number": 1}
    _demand(
        plist.loads(plist.dumps(value)).value == value, "a property list reads back differently"
    )
    return ""


def _check_push() -> str:
    pair = certificates.new_device_ca("Example", datetime.now(UTC))
    pem = certificates.certificate_pem(pair.certificate), certificates.key_pem(pair.key)

    async def ready() -> None:
        with tempfile.TemporaryDirectory() as folder:
            context = push_ssl_context(*pem, None, folder)
            sender = PushSender(host="127.0.0.1", port=9, ssl_context=context)
            await sender.close()

    asyncio.run(ready())
    return "HTTP/2 with a client certificate"


def _check_event_loop() -> str:
    try:
        import uvloop
    except ImportError:
        return "asyncio"
    uvloop.run(asyncio.sleep(0))
    return "uvloop"


def _check_child() -> str:
    command = [*resources.own_command(), "version", "--json"]
    done = subprocess.run(  # noqa: S603 - it is this program
        command, capture_output=True, timeout=_CHILD_SECONDS, check=True
    )
    _demand(json.loads(done.stdout)["version"] == __version__, "it is another release")
    return " ".join(command[:-2])


CHECKS: Mapping[str, Callable[[], str]] = {
    "files": _check_files,
    "command catalogue": _check_catalogue,
    "pages": _check_pages,
    "API description": _check_api,
    "property lists": _check_plist,
    "store": _check_store,
    "signatures": _check_signatures,
    "encryption": _check_encryption,
    "SCEP": _check_scep,
    "vault": _check_vault,
    "backup": _check_backup,
    "passwords": _check_passwords,
    "push": _check_push,
    "event loop": _check_event_loop,
    "child process": _check_child,
}
