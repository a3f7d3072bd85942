"""Configuration: TOML and environment into frozen dataclasses, checked where they are defined.

Precedence: environment (`APPLIANCE_<SECTION>__<KEY>`, `…_FILE` for a file that holds the
value, where that is not itself the name of one) over `appliance.toml` over the defaults below.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from appliance.config.checks import (
    check_address,
    check_choice,
    check_duration,
    check_network,
    check_range,
    check_url,
    split_address,
)
from appliance.config.webhook import WebhookConfig
from appliance.errors import ConfigError

_PREFIX = "APPLIANCE_"
_NAMES_OF_FILES = {"tls_certificate", "tls_key"}  # beside every key that ends in _file


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """`[server]`: where the server listens and what it is called."""

    url: str = "https://localhost:8443"  # permanent: devices never accept another one
    listen: tuple[str, ...] = ("0.0.0.0:8443",)
    admin_listen: tuple[str, ...] = ()
    admin_allow: tuple[str, ...] = (
        "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
        "169.254.0.0/16", "fc00::/7", "fe80::/10",
    )  # fmt: skip
    organization: str = "My Organization"
    client_certificates: bool = False
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: str = "Client-Cert"
    tls_certificate: str = ""  # PEM files of your own; empty: the built-in authority
    tls_key: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        for key in ("listen", "admin_listen"):
            for address in getattr(self, key):
                check_address(f"server.{key}", address)
        for key in ("admin_allow", "trusted_proxies"):
            for network in getattr(self, key):
                check_network(f"server.{key}", network)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("server.tls_certificate and server.tls_key belong together")

    @property
    def base_url(self) -> str:
        """The URL without a trailing slash."""
        return self.url.rstrip("/")

    @property
    def admin_url(self) -> str:
        """The URL of the page for administrators, without a trailing slash."""
        if not self.admin_listen:
            return self.base_url
        host = self.admin_host
        _, port = split_address(self.admin_listen[0])
        return f"https://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def host(self) -> str:
        """The host name of `url`."""
        return urlsplit(self.url).hostname or "localhost"

    @property
    def admin_host(self) -> str:
        """The host name, or the address, of `admin_url`."""
        if not self.admin_listen:
            return self.host
        address, _ = split_address(self.admin_listen[0])
        return self.host if address in ("0.0.0.0", "::") else address  # noqa: S104 - any address


@dataclass(frozen=True, slots=True, kw_only=True)
class PushConfig:
    """`[push]`: Apple's push service, or one of your own."""

    host: str = "api.push.apple.com"
    port: int = 443
    ca_file: str = ""  # trust anchor for a push server of your own
    timeout_seconds: int = 10
    expires_hours: int = 168
    per_second: int = 200  # at most; a fleet woken at once would come back at once

    def __post_init__(self) -> None:
        check_range("push.port", self.port, 1, 65535)
        check_range("push.timeout_seconds", self.timeout_seconds, 1, 120)
        check_range("push.expires_hours", self.expires_hours, 0, 720)
        check_range("push.per_second", self.per_second, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollConfig:
    """`[enroll]`: who may enroll, and how."""

    open: bool = False  # true: anyone who reaches /enroll may enroll, without a link
    lab_topic: str = ""  # lets devices enroll without a push certificate; they cannot be woken
    lab_identities: bool = False  # over the air, any key will do as that of a device
    device_ca_file: str = ""  # PEM of who signs device identities, beside Apple; no chain

    def __post_init__(self) -> None:
        if self.lab_topic and not self.lab_topic.startswith("com.apple.mgmt."):
            raise ConfigError("enroll.lab_topic must begin with com.apple.mgmt.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScepConfig:
    """`[scep]`: the built-in certificate authority for device identities."""

    identity_days: int = 730
    renew_before_days: int = 180  # so early a device is sent what renews it; 0: only by hand
    challenge_minutes: int = 60
    legacy_ciphers: bool = True  # false refuses single DES and SHA-1

    def __post_init__(self) -> None:
        check_range("scep.identity_days", self.identity_days, 1, 825)
        check_range("scep.renew_before_days", self.renew_before_days, 0, 800)
        check_range("scep.challenge_minutes", self.challenge_minutes, 1, 10_080)


@dataclass(frozen=True, slots=True, kw_only=True)
class MdmConfig:
    """`[mdm]`: the device endpoints."""

    compat_paths: bool = True  # also answer /mdm/connect, /mdm/checkin and /checkin
    silent_after_hours: int = 48  # a device not heard of for so long needs a person's attention

    def __post_init__(self) -> None:
        check_range("mdm.silent_after_hours", self.silent_after_hours, 1, 8_760)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """`[api]`: interfaces for programs."""

    compat_nanomdm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """`[auth]`: people who sign in to the page. Durations such as "90s", "15m", "12h", "7d"."""

    session_idle: str = "12h"
    session_max: str = "7d"
    min_password: int = 12
    login_attempts: int = 5  # failures of one address, before it has to wait
    login_block: str = "15m"
    argon2_memory_mib: int = 64
    setup_code_ttl: str = "24h"

    def __post_init__(self) -> None:
        for key in ("session_idle", "session_max", "login_block", "setup_code_ttl"):
            check_duration(f"auth.{key}", getattr(self, key))
        check_range("auth.min_password", self.min_password, 8, 128)
        check_range("auth.login_attempts", self.login_attempts, 1, 1000)
        check_range("auth.argon2_memory_mib", self.argon2_memory_mib, 8, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupConfig:
    """`[backup]`: the encrypted file that is written to `backups/` every night."""

    at: str = "03:15"  # the server's own time; empty: only by order
    keep: int = 7  # of the nightly ones

    def __post_init__(self) -> None:
        if self.at and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.at):
            raise ConfigError(f"backup.at must be a time such as 03:15, not {self.at!r}")
        check_range("backup.keep", self.keep, 1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """`[limits]`: what one address, one token or one message may take."""

    exempt: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    connections: int = 2500  # fewer if the system has no descriptors for them
    connections_per_address: int = 256
    device_requests: int = 2000  # being worked on; to others: 503 and when to come back
    scep_per_minute: int = 60  # an address
    scep_per_second: int = 200  # all addresses together
    api_per_second: int = 100  # a token
    dangerous_per_hour: int = 10  # commands that erase, lock or let go, of a token or a user
    event_streams: int = 20  # a token or a user, at the same time
    scep_body_kib: int = 64
    checkin_body_kib: int = 1024
    result_body_kib: int = 4096
    bodies_mib: int = 64  # all that are being received
    body_seconds: int = 15  # for a TLS handshake, a head or a body to arrive

    def __post_init__(self) -> None:
        for network in self.exempt:
            check_network("limits.exempt", network)
        for item in fields(self):
            if item.name != "exempt":
                check_range(f"limits.{item.name}", getattr(self, item.name), 1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`[log]`: one line an event on stderr."""

    format: str = "text"
    level: str = "info"

    def __post_init__(self) -> None:
        check_choice("log.format", self.format, ("text", "json"))
        check_choice("log.level", self.level, ("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that may be set, and the data directory it was read for."""

    data: Path
    server: ServerConfig = field(default_factory=ServerConfig)
    push: PushConfig = field(default_factory=PushConfig)
    enroll: EnrollConfig = field(default_factory=EnrollConfig)
    scep: ScepConfig = field(default_factory=ScepConfig)
    mdm: MdmConfig = field(default_factory=MdmConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    backup: BackupConfig = field(default_factory=BackupConfig)
    webhook: WebhookConfig = field(default_factory=WebhookConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @classmethod
    def load(
        cls,
        data: Path,
        *,
        file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Config:
        """Read `file` (default `appliance.toml` in `data`, if it exists) and the environment.

        Raises:
            ConfigError: unknown key, wrong type or value, with file, line and key.
        """
        path = file or data / "appliance.toml"
        if file is not None and not file.is_file():
            raise ConfigError(f"{file}: no such file", fix="name an existing file")
        try:
            text = path.read_text("utf-8") if path.is_file() else ""
            document = tomllib.loads(text)
        except ValueError as error:  # no TOML, or no UTF-8
            raise ConfigError(f"{path}: {error}") from error
        config = cls(data=data)
        config = _apply(config, document, lambda *name: f"{path}{_line_of(text, *name)}: ")
        return _apply(config, _from_environment(environment), lambda *_: "environment: ")


def default_data_directory() -> Path:
    """`APPLIANCE_DATA`, else the system's for root, else the user's data directory."""
    if named := os.environ.get("APPLIANCE_DATA"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/appliance")
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local/share") / "appliance"


def _apply(config: Config, document: Mapping[str, Any], where: Any) -> Config:
    sections = {item.name: item for item in fields(Config) if item.name != "data"}
    for section, values in document.items():
        if section not in sections:
            raise ConfigError(
                f"{where(section)}unknown section [{section}]",
                fix=f"known sections: {', '.join(sections)}",
            )
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where(section)}{section} must be a section, [{section}]")
        current = getattr(config, section)
        checked = {
            key: _value(current, section, key, value, where(section, key))
            for key, value in values.items()
        }
        try:
            config = replace(config, **{section: replace(current, **checked)})
        except ConfigError as error:
            named = [key for key in checked if f"{section}.{key}" in error.problem]
            raise ConfigError(where(section, *named[:1]) + error.problem, fix=error.fix) from error
    return config


def _value(current: Any, section: str, key: str, value: Any, where: str) -> Any:
    hints = get_type_hints(type(current))
    if key not in hints:
        known = ", ".join(item.name for item in fields(current))
        raise ConfigError(f"{where}unknown key {section}.{key}", fix=f"known keys: {known}")
    if "-----BEGIN" in str(value):  # not shown: it may be a private key
        raise ConfigError(f"{where}{section}.{key} cannot be PEM", fix="name a file with it")
    expected = hints[key]
    if expected == tuple[str, ...]:
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        raise ConfigError(f"{where}{section}.{key} must be a list of texts")
    if type(value) is not expected:
        words = {int: "a whole number", bool: "true or false", str: "a text"}
        raise ConfigError(f"{where}{section}.{key} must be {words[expected]}, not {value!r}")
    return value


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, Any]] = {}
    hints = get_type_hints(Config)
    for name, text in environment.items():
        if not name.startswith(_PREFIX) or "__" not in name:
            continue
        section, key = name[len(_PREFIX) :].lower().split("__", 1)
        known = get_type_hints(hints[section]) if section in hints else {}
        if key not in known and key.endswith("_file") and key[:-5] in known:
            key = key[:-5]
            if key in _NAMES_OF_FILES or key.endswith("_file"):
                raise ConfigError(
                    f"environment: {name}: {section}.{key} is the name of a file itself",
                    fix=f"set {name[:-5]} to that name",
                )
            text = _value_in(name, Path(text))
        document.setdefault(section, {})[key] = _parsed(text, known.get(key, str))
    return document


def _value_in(variable: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # Not with the path: by mistake, that may be the value itself.
        problem = error.strerror if isinstance(error, OSError) else "not in UTF-8"
        raise ConfigError(
            f"environment: {variable}: {problem}", fix="name a readable file that holds the value"
        ) from error


def _parsed(text: str, expected: Any) -> Any:
    if expected is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if expected is int and re.fullmatch(r"-?\d+", text):
        return int(text)
    if expected == tuple[str, ...]:
        return _listed(text)
    return text


def _listed(text: str) -> Any:
    """Read a list as in the file, or texts with commas between them."""
    with suppress(tomllib.TOMLDecodeError):  # "[::1]:8443" is no list
        return tomllib.loads(f"list = {text}")["list"]
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _line_of(text: str, section: str, key: str = "") -> str:
    """Return where the key stands; sections have keys of the same name."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
            inside = header[1] == section
            found = inside and not key
        else:
            name = re.match(r"\s*([^=\s]+)\s*=", line)
            wanted = (f"{section}.{key}", key if inside else section)
            found = name is not None and name[1] in wanted
        if found:
            return f":{number}"
    return ""
