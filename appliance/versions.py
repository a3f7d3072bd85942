"""What runs: this release, its interpreter, and the libraries that decide whether it is safe."""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers import expat

from appliance import __version__, resources

_SQLITE = (3, 51, 3)  # older ones can lose a commit when a checkpoint races; see decision 0003
# Of older series, the release that has the same repair.
_SQLITE_MENDED: Mapping[tuple[int, ...], tuple[int, ...]] = {
    (3, 44): (3, 44, 6),
    (3, 50): (3, 50, 7),
}
_EXPAT = (2, 7, 2)
_OPENSSL = (3, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The versions of what runs; OpenSSL is there twice, for TLS and for all other cryptography."""

    version: str
    python: str
    sqlite: str
    expat: str
    openssl: str
    cryptography_openssl: str
    frozen: bool
    platform: str


def versions() -> Versions:
    """Return what runs in this process."""
    from cryptography.hazmat.backends.openssl import backend

    return Versions(
        version=__version__,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        expat=expat.EXPAT_VERSION.removeprefix("expat_"),
        openssl=ssl.OPENSSL_VERSION,
        cryptography_openssl=backend.openssl_version_text(),
        frozen=resources.frozen(),
        platform=f"{platform.system()} {platform.machine()}",
    )


def warnings(running: Versions) -> list[str]:
    """Return a sentence for each library with known faults that this release has to live with."""
    found = []
    sqlite = _numbers(running.sqlite)
    mended = _SQLITE_MENDED.get(sqlite[:2])
    if sqlite < _SQLITE and not (mended and sqlite >= mended):
        found.append(f"SQLite {running.sqlite} is older than 3.51.3")
    if _numbers(running.expat) < _EXPAT:
        found.append(f"expat {running.expat} is older than 2.7.2")
    if _numbers(running.cryptography_openssl) < _OPENSSL:
        found.append(f"{running.cryptography_openssl} is older than OpenSSL 3.2")
    return found


def _numbers(text: str) -> tuple[int, ...]:
    match = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
