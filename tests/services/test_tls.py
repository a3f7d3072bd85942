"""The server's certificate: it has the names that people and devices use, and files are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from appliance.config import ServerConfig
from appliance.errors import ConfigError
from appliance.services.data_directory import DataDirectory
from appliance.services.tls import Tls, host_names

_KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def directory(data: Path) -> DataDirectory:
    """For https://localhost:8443."""
    return DataDirectory(data)


def _names(tls: Tls) -> list[str]:
    extensions = tls.pair.certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (ServerConfig(url="https://mdm.example.org:8443"), "mdm.example.org"),
        (ServerConfig(url="https://[2001:DB8:0::1]:8443"), "2001:db8::1"),
        (ServerConfig(admin_listen=("192.168.1.5:9443",)), "192.168.1.5"),
        (ServerConfig(admin_listen=("[2001:DB8:0::1]:9443",)), "2001:db8::1"),
        (ServerConfig(admin_listen=("[fe80::1%2]:9443",)), "fe80::1"),
        (ServerConfig(admin_listen=("Board.Example.org:9443",)), "board.example.org"),
    ],
)
def test_a_certificate_that_lacks_a_name_is_made_anew_once(
    directory: DataDirectory, changed: ServerConfig, name: str
) -> None:
    first = Tls(directory, changed)
    assert name in _names(first)
    assert Tls(directory, changed).pair.certificate == first.pair.certificate


def test_devices_that_come_by_a_former_name_are_served_still(directory: DataDirectory) -> None:
    Tls(directory, ServerConfig(url="https://former.example.org"))
    names = _names(Tls(directory, ServerConfig(url="https://mdm.example.org")))
    assert names[0] == "mdm.example.org"
    assert "former.example.org" in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "changed",
    [
        ServerConfig(url="https://LOCALHOST:8443"),
        ServerConfig(url="https://[0:0::1]:8443"),
        ServerConfig(admin_listen=("LocalHost:9443",)),
        ServerConfig(admin_listen=("[::]:9443",)),
        ServerConfig(admin_listen=("bücher.example:9443",)),  # the page is asked for as xn--…
    ],
)
def test_a_certificate_with_every_name_stays(
    directory: DataDirectory, changed: ServerConfig
) -> None:
    directory.renew_tls(host_names("localhost", "former.example.org"))
    before = (directory.keys / "tls.pem").read_bytes()
    Tls(directory, changed)
    assert (directory.keys / "tls.pem").read_bytes() == before


def test_no_name_is_worth_a_certificate_of_a_clock_that_is_behind(directory: DataDirectory) -> None:
    assert not directory.tls_is_due(0, ["mdm.example.org"])


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key"])
def test_a_key_in_the_place_of_a_file_is_not_shown(directory: DataDirectory, setting: str) -> None:
    files = {
        "tls_certificate": str(directory.keys / "tls.pem"),
        "tls_key": str(directory.keys / "tls.key"),
        setting: _KEY,
    }
    with pytest.raises(ConfigError) as caught:
        Tls(directory, ServerConfig(**files))  # type: ignore[arg-type]
    assert caught.value.problem == f"server.{setting} cannot be used: No such file or directory"
