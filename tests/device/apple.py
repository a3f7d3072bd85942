"""A chain as Apple's, made by openssl: device, its authority, … root; SHA-1, and expired."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from appliance.simulator.keys import Identity, PrivateKey
from tests.programs import program

_ROOT = "/C=US/O=Apple Inc./OU=Apple Certification Authority/CN=Apple Root CA"
_IPHONE = _ROOT.removesuffix("Apple Root CA") + "Apple iPhone Certification Authority"
_DEVICE_CA = "/C=US/O=Apple Inc./OU=Apple iPhone/CN=Apple iPhone Device CA"
_DEVELOPERS = "/C=US/O=Apple Inc./CN=Apple Worldwide Developer Relations Certification Authority"
_CONFIGURATION = """
[ca]
default_ca = any
[any]
database = index.txt
new_certs_dir = .
unique_subject = no
default_md = sha1
rand_serial = yes
preserve = yes
policy = names
[names]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[ca_of_apple]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[leaf]
basicConstraints = critical, CA:FALSE
"""


class AppleLike:
    """Issues device identities as Apple does, and signs with them by `openssl cms`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "ca.cnf").write_text(_CONFIGURATION)
        (folder / "index.txt").touch()
        self._issue("root", _ROOT, None, bits=2048, ends="20350209")
        self._issue("iphone", _IPHONE, "root", bits=2048, ends="20220412")
        self._issue("device-ca", _DEVICE_CA, "iphone", bits=1024)
        self._issue("developers", _DEVELOPERS, "root", bits=2048)
        names = ("device-ca", "iphone", "root")
        self.chain = [x509.load_pem_x509_certificate(self._read(name)) for name in names]
        (folder / "chain.pem").write_bytes(
            b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)
        )

    @property
    def authority(self) -> x509.Certificate:
        """What issues the devices' certificates."""
        return self.chain[0]

    @property
    def authority_file(self) -> Path:
        """Its certificate, as PEM."""
        return self._folder / "device-ca.pem"

    def device(self) -> Identity:
        """A new device's identity."""
        name = f"device-{uuid.uuid4()}"
        self._issue(name, f"/C=US/O=Apple Inc./OU=iPhone/CN={name}", "device-ca", bits=1024)
        return self._identity(name)

    def developer(self) -> Identity:
        """An identity that leads to the same root by another way."""
        name = f"developer-{uuid.uuid4()}"
        self._issue(name, f"/C=US/O=Apple Inc./CN={name}", "developers", bits=2048)
        return self._identity(name)

    def sign(
        self, content: bytes, identity: Identity, *options: str, digest: str = "sha1"
    ) -> bytes:
        """CMS SignedData, DER, with content and chain; `options` are those of `openssl cms`."""
        name = self._folder / str(uuid.uuid4())
        name.with_suffix(".pem").write_bytes(identity.pem)
        name.with_suffix(".plist").write_bytes(content)
        return self._openssl(
            "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", digest,
            "-signer", f"{name}.pem", "-certfile", "chain.pem", "-in", f"{name}.plist", *options,
        )  # fmt: skip

    def _issue(
        self, name: str, subject: str, issuer: str | None, *, bits: int, ends: str = "20140416"
    ) -> None:
        key = f"{name}.key"
        self._openssl("genrsa", "-out", key, str(bits))
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", "request.csr")
        by = ["-selfsign", "-keyfile", key]
        if issuer is not None:
            by = ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
        self._openssl(
            "ca", "-config", "ca.cnf", "-batch", "-notext", *by,
            "-startdate", "20070416000000Z", "-enddate", f"{ends}000000Z",
            "-extensions", "leaf" if issuer in ("device-ca", "developers") else "ca_of_apple",
            "-in", "request.csr", "-out", f"{name}.pem",
        )  # fmt: skip

    def _identity(self, name: str) -> Identity:
        key = load_pem_private_key(self._read(name, "key"), None)
        assert isinstance(key, PrivateKey)
        return Identity(certificate=x509.load_pem_x509_certificate(self._read(name)), key=key)

    def _read(self, name: str, kind: str = "pem") -> bytes:
        return (self._folder / f"{name}.{kind}").read_bytes()

    def _openssl(self, *arguments: str) -> bytes:
        done = subprocess.run(
            [program("openssl"), *arguments],
            cwd=self._folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
