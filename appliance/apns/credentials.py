"""The TLS side of APNs: our push certificate, and whom we trust to be APNs."""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
from pathlib import Path

from appliance.errors import ConfigError, InvalidRequest, MalformedMessage
from appliance.wire import pem


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that trusts only the CAs in `ca_file`; None trusts the system's.

    Raises:
        ConfigError: `ca_file` cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # includes SSLError
        raise ConfigError(f"push.ca_file {ca_file} cannot be used: {error}") from error


def push_ssl_context(
    certificate_pem: bytes, key_pem: bytes, ca_file: str | None, run_dir: str
) -> ssl.SSLContext:
    """Return a context that presents the push certificate and verifies the push server.

    Python reads a certificate chain only from a file, so the pair is in `run_dir` for a
    moment, readable by us alone, its key encrypted with a password that is written nowhere.
    Whether the certificate is unexpired and carries a topic is not checked here.

    Args:
        certificate_pem: the push certificate, its chain after it if there is one.
        key_pem: its private key, not encrypted.
        ca_file: PEM of the only CAs to trust, for a push server of your own;
            None trusts the system's.
        run_dir: an existing directory that only we can read.

    Raises:
        ConfigError: `ca_file` cannot be read.
        InvalidRequest: certificate and key are unreadable or do not belong together.
    """
    context = trusting(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # aioapns 4.0 offers no ALPN (connection.py:491): a strict HTTP/2 server hangs up.
    context.set_alpn_protocols(["h2"])
    password = secrets.token_hex()
    descriptor, name = tempfile.mkstemp(dir=run_dir, prefix="push-", suffix=".pem")  # mode 0600
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            encrypted = pem.key_pem(pem.load_key(key_pem), password.encode())
            file.write(certificate_pem.rstrip() + b"\n" + encrypted)
        context.load_cert_chain(path, password=password)
    except (ssl.SSLError, MalformedMessage) as error:
        raise InvalidRequest(
            "the push certificate and its private key cannot be used",
            code="push_certificate.unusable",
            why=(error.reason if isinstance(error, ssl.SSLError) else "") or str(error),
        ) from error
    finally:
        path.unlink()
    return context
