"""The server's TLS certificate: built in and renewed by itself, or files of your own."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from datetime import datetime
from pathlib import Path

from appliance.config import ServerConfig
from appliance.errors import ConfigError, InvalidRequest
from appliance.services.data_directory import DataDirectory
from appliance.wire import certificates
from appliance.wire.certificates import KeyPair

logger = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; CBC invites attacks by timing
# Expired client certificates reach the application, which answers with a reason, instead of
# dying in the handshake without one. Every date is checked there. (X509_V_FLAG_NO_CHECK_TIME)
_NO_CHECK_TIME = 0x200000


class Tls:
    """The server's context; a renewed certificate gets a new one, without a restart.

    Who accepts a connection asks for `context` each time. A certificate is never loaded into the
    one in use: it is without a key meanwhile, so a handshake that begins then would be cut off.
    """

    def __init__(self, directory: DataDirectory, config: ServerConfig) -> None:
        """Read the certificate, renewing the built-in one if it is due.

        Raises:
            ConfigError: the files of your own cannot be used.
        """
        self._directory = directory
        self._config = config
        self._own = bool(config.tls_certificate)
        self.wanted = asyncio.Event()  # set: look at the files now
        self.pair = self._read()
        self.context = self._new_context()

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        return self.pair.certificate.not_valid_after_utc

    def renew_if_due(self) -> None:
        """Renew the built-in certificate in time, or read files of your own again."""
        fresh = self._read()
        if fresh.certificate != self.pair.certificate:
            self.context = self._new_context()
            self.pair = fresh  # only now: what failed is tried again
            logger.info("server certificate replaced")

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        if self._config.client_certificates:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
            context.load_verify_locations(self._directory.keys / "ca.pem")
        certificate, key = self._paths()
        context.load_cert_chain(certificate, key, self._password)
        return context

    @property
    def _password(self) -> str | None:
        return None if self._own else self._directory.key_files.tls_password

    def _paths(self) -> tuple[Path, Path]:
        if self._own:
            return Path(self._config.tls_certificate), Path(self._config.tls_key)
        return self._directory.keys / "tls.pem", self._directory.keys / "tls.key"

    def _read(self) -> KeyPair:
        if not self._own:
            names = host_names(self._config.host, self._config.admin_host)
            if self._directory.tls_is_due(time.time(), names):
                self._directory.renew_tls(names)
        certificate, key = self._paths()
        try:
            pem = _content("server.tls_certificate", certificate) + b"\n"
            pem += _content("server.tls_key", key)
            return certificates.load_pair(pem, self._password, file="tls")
        except InvalidRequest as error:
            raise ConfigError(
                f"the server certificate cannot be used: {error}",
                fix="check server.tls_certificate and server.tls_key",
            ) from error


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # its text has the "path": by mistake, that may be the key itself
        raise ConfigError(
            f"{setting} cannot be used: {error.strerror}", fix="name a readable file in PEM"
        ) from error


def host_names(*hosts: str) -> list[str]:
    """Return the names of the built-in certificate: these first, then loopback.

    Without the scope of an IPv6 address, which no certificate holds, and without names that are
    not in ASCII: they have to be written as xn--….
    """
    named = [host.partition("%")[0] for host in hosts if host.isascii()]
    return list(dict.fromkeys([*named, "localhost", "127.0.0.1", "::1"]))
