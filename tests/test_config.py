"""Configuration: what is accepted, what wins, and how it complains."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from appliance.config import Config, ServerConfig
from appliance.errors import ConfigError

_EXAMPLE = Path(__file__).parent.parent / "config" / "appliance.toml"


def _load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    (tmp_path / "appliance.toml").write_text(text)
    return Config.load(tmp_path, environment=environment or {})


def test_the_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    assert Config.load(tmp_path, file=_EXAMPLE, environment={}) == Config(data=tmp_path)
    text = _EXAMPLE.read_text()
    for section in (field.name for field in fields(Config) if field.name != "data"):
        for key in type(getattr(Config(data=tmp_path), section)).__dataclass_fields__:
            assert f"\n{key} = " in text


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "organization"
    secret.write_text("From a file\n")
    config = _load(
        tmp_path,
        '[push]\nport = 2197\nhost = "push.example"\n',
        {"APPLIANCE_PUSH__PORT": "9000", "APPLIANCE_SERVER__ORGANIZATION_FILE": str(secret)},
    )

    assert (config.push.port, config.push.host) == (9000, "push.example")
    assert config.server.organization == "From a file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[push]\nprot = 1\n", "appliance.toml:2: unknown key push.prot"),
        ("[pusch]\n", "appliance.toml:1: unknown section [pusch]"),
        ('[push]\n\nport = "443"\n', "appliance.toml:3: push.port must be a whole number"),
        ("[push]\nport = 70000\n", "push.port must be between 1 and 65535, not 70000"),
        ('[server]\nurl = "http://a"\n', "server.url must look like https://host"),
        ('[server]\nlisten = ["8443"]\n', "toml:2: server.listen: '8443' is not ADDRESS:PORT"),
        ('[backup]\nat = "3:15"\n', "backup.at must be a time such as 03:15"),
        ('[webhook]\nurls = ["ftp://a"]\n', "appliance.toml:2: webhook.urls must be addresses"),
        ('[webhook]\nurls = ["https://a:0/"]\n', "webhook.urls must be addresses"),
        ('[webhook]\nurls = ["https://a/", "https://a/"]\n', "at most 10 different ones"),
        ('[webhook]\ntimeout = "1m"\n', "webhook.timeout must be at most 10s"),
        ('[webhook]\nretries = ["5s", "soon"]\n', "webhook.retries must be a time"),
        ('[webhook]\nformat = "xml"\n', "webhook.format must be one of micromdm"),
        ("[push\n", "appliance.toml"),
        ('[webhook]\nformat = "micromdm"\n[log]\nformat = "xml"\n', "toml:4: log.format must be"),
        ("[log]\n[ push ]\nport = 0\n", "appliance.toml:3: push.port must be between"),
        ("push.port = 0\n", "appliance.toml:1: push.port must be between"),
        ("log = 1\n", "appliance.toml:1: log must be a section"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert expected in str(caught.value)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_bytes(b'[server]\norganization = "B\xfcro"\n')
    with pytest.raises(ConfigError, match=r"appliance\.toml: 'utf-8' codec"):
        Config.load(tmp_path, environment={})


def test_a_file_of_the_environment_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environment = {"APPLIANCE_SERVER__URL_FILE": str(tmp_path / "missing")}
    with pytest.raises(ConfigError, match=r"environment: APPLIANCE_SERVER__URL_FILE: No such file"):
        Config.load(tmp_path, environment=environment)


def test_a_value_in_the_place_of_its_file_is_not_shown(tmp_path: Path) -> None:
    environment = {"APPLIANCE_WEBHOOK__URLS_FILE": "https://hooks.example/secret"}
    with pytest.raises(ConfigError) as caught:
        Config.load(tmp_path, environment=environment)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    [
        "APPLIANCE_SERVER__TLS_CERTIFICATE",
        "APPLIANCE_SERVER__TLS_KEY",
        "APPLIANCE_PUSH__CA_FILE",
        "APPLIANCE_ENROLL__DEVICE_CA_FILE",
        "APPLIANCE_WEBHOOK__CA_FILE",
        "APPLIANCE_WEBHOOK__SECRET_FILE",
    ],
)
def test_what_names_a_file_is_not_read_from_one(tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").write_text("s3cr3t")
    with pytest.raises(ConfigError) as caught:
        Config.load(tmp_path, environment={f"{variable}_FILE": str(tmp_path / "file")})
    assert caught.value.problem.startswith(f"environment: {variable}_FILE: ")
    assert caught.value.fix == f"set {variable} to that name"
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("key", ["server.tls_key", "server.listen", "push.port"])
def test_pem_in_the_place_of_a_value_is_not_shown(tmp_path: Path, key: str) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f"{key} = {json.dumps(pem)}\n")
    assert "c2VjcmV0" not in str(caught.value)
    section, name = key.upper().split(".")
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, "", {f"APPLIANCE_{section}__{name}": pem})
    assert str(caught.value) == f"environment: {key} cannot be PEM"


@pytest.mark.parametrize(
    "url", ["https://a", "https://a.example:8443", "https://[2001:db8::1]:443", "https://a/"]
)
def test_a_url_that_devices_can_use_is_accepted(url: str) -> None:
    assert ServerConfig(url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:1, [::1]:2", ("127.0.0.1:1", "[::1]:2")),
        ("[::1]:2", ("[::1]:2",)),
        ('["127.0.0.1:1", "[::1]:2"]', ("127.0.0.1:1", "[::1]:2")),
    ],
)
def test_a_list_in_the_environment_is_written_as_in_the_file_or_with_commas(
    tmp_path: Path, text: str, listen: tuple[str, ...]
) -> None:
    config = Config.load(tmp_path, environment={"APPLIANCE_SERVER__LISTEN": text})
    assert config.server.listen == listen
