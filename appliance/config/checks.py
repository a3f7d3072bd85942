"""What a value of the configuration must be: each check names its key when it is not."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_network
from urllib.parse import urlsplit

from appliance.errors import ConfigError

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_URL = re.compile(
    rf"https://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?=[^/:]{{1,253}}(?:[/:]|\Z)){_LABEL}(?:\.{_LABEL})*)"
    r"(?::(?P<port>\d{1,5}))?/?"
)


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[V6]:PORT`.

    Raises:
        ConfigError: not of that form.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]]+)):(\d{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise ConfigError(f"{address!r} is not ADDRESS:PORT", fix="for example 0.0.0.0:8443")
    return match[1] or match[2], int(match[3])


def everywhere(url: str) -> str:
    """Return the address that listens on every network at the port of a URL like `server.url`."""
    parts = urlsplit(url)
    host = "[::]" if ":" in (parts.hostname or "") else "0.0.0.0"  # noqa: S104 - that is what for
    return f"{host}:{parts.port or 443}"


def check_address(name: str, address: str) -> None:
    """Accept `HOST:PORT` and `[V6]:PORT`."""
    try:
        split_address(address)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.problem}", fix=error.fix) from error


def duration_ms(text: str) -> int:
    """Return a duration such as "90s", "15m", "12h" or "7d" in milliseconds, 0 if it is none."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    return 0 if match is None else int(match[1]) * _UNITS_MS[match[2]]


def check_url(url: str) -> None:
    """Accept scheme, host and port alone: devices keep this URL for ever, and add paths to it."""
    match = _URL.fullmatch(url)
    port = None if match is None or match["port"] is None else int(match["port"])
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise ConfigError(
            f"server.url must look like https://host or https://host:port, not {url!r}",
            fix="no user name, path, query or fragment; a name with other letters as xn--…",
        )
    if match["v6"] is not None:
        try:
            IPv6Address(match["v6"])
        except ValueError as error:
            raise ConfigError(f"server.url: {error}") from error


def check_range(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{key} must be between {low} and {high}, not {value}")


def check_duration(key: str, text: str) -> None:
    if not 0 < duration_ms(text) <= duration_ms("365d"):
        raise ConfigError(
            f"{key} must be a time of at most 365 days, not {text!r}",
            fix='for example "15m", "12h" or "7d"',
        )


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, not {value!r}")


def check_network(key: str, network: str) -> None:
    try:
        ip_network(network)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}", fix="for example 192.168.0.0/16") from error
