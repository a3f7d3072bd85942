"""`[webhook]`: receivers that are told what devices say."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from appliance.config.checks import check_choice, check_duration, duration_ms
from appliance.errors import ConfigError

MOST_RECEIVERS = 10
_MOST_RETRIES = 20
_LONGEST_URL = 2048
_LONGEST_TIMEOUT = "10s"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """`[webhook]`: where events go, and how often each is tried. Durations such as "10s", "6h"."""

    urls: tuple[str, ...] = field(default=(), repr=False)  # some name a secret in their path
    format: str = "micromdm"
    secret_file: str = ""  # signs what is sent; empty: unsigned
    ca_file: str = ""  # trust anchor for receivers of your own
    timeout: str = _LONGEST_TIMEOUT  # for the whole of a delivery, the reply included
    retries: tuple[str, ...] = ("5s", "30s", "2m", "10m", "1h", "6h", "24h")
    allow_private: bool = True  # false: only addresses of the internet
    disable_after: str = "3d"  # of nothing but failures

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_receiver(url)
        if len(set(self.urls)) != len(self.urls) or len(self.urls) > MOST_RECEIVERS:
            raise ConfigError(f"webhook.urls must be at most {MOST_RECEIVERS} different ones")
        check_choice("webhook.format", self.format, ("micromdm",))
        check_duration("webhook.timeout", self.timeout)
        if duration_ms(self.timeout) > duration_ms(_LONGEST_TIMEOUT):
            raise ConfigError(f"webhook.timeout must be at most {_LONGEST_TIMEOUT}")
        if len(self.retries) > _MOST_RETRIES:
            raise ConfigError(f"webhook.retries must be at most {_MOST_RETRIES}")
        for wait in self.retries:
            check_duration("webhook.retries", wait)
        check_duration("webhook.disable_after", self.disable_after)

    @property
    def timeout_seconds(self) -> float:
        """`timeout` in seconds."""
        return duration_ms(self.timeout) / 1000


def is_receiver(url: str) -> bool:
    """Tell whether events can be sent to this address."""
    is_text = url.isascii() and url.isprintable() and " " not in url
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
    return is_text and is_usable and len(url) <= _LONGEST_URL and parts.scheme in ("http", "https")


def _check_receiver(url: str) -> None:
    """Accept what can be sent to; the message does not repeat it, for it may hold a secret."""
    if not is_receiver(url):
        raise ConfigError(
            "webhook.urls must be addresses such as https://host/path",
            fix="http or https, no fragment, other letters escaped",
        )
