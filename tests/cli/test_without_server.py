"""What works before the server runs, and what says that it does not run."""

from __future__ import annotations

import getpass
import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance.cli.exits import exit_status
from appliance.cli.settings import Settings
from appliance.config import Config
from appliance.errors import DirectoryForbidden
from tests.device.server import PROGRAM

from .conftest import URL, Cli


def test_init_makes_a_directory_that_only_its_owner_can_read(run: Cli, tmp_path: Path) -> None:
    data = tmp_path / "new"
    done = run("init", "--data", data, "--url", f"{URL}/", "--organization", "Lab")
    assert (done.status, done.out) == (0, "")
    assert f"appliance serve --data {data}" in done.err
    for entry in (data, *data.rglob("*")):
        assert not stat.S_IMODE(entry.stat().st_mode) & 0o077, entry
    config = Config.load(data, environment={})
    assert (config.server.url, config.server.organization) == (URL, "Lab")


def test_init_lets_others_pass_through_what_leads_there(run: Cli, tmp_path: Path) -> None:
    """The service runs as a user of its own, to which only the directory itself is given."""
    data = tmp_path / "srv" / "mdm" / "data"
    assert run("init", "--data", data, "--url", URL).status == 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, *list(data.parents)[:2])] == [
        0o700, 0o755, 0o755,
    ]  # fmt: skip


def test_init_listens_where_it_is_told(run: Cli, tmp_path: Path) -> None:
    for number, (options, listens) in enumerate(
        [
            (["--url", "https://mdm.example.com"], ["0.0.0.0:8443"]),
            (["--url", "https://mdm.example.com:9443"], ["0.0.0.0:9443"]),
            (["--url", "https://[::1]:9443"], ["[::]:9443"]),
            (["--url", "https://mdm.example.com", "--listen", "0.0.0.0:443"], ["0.0.0.0:443"]),
        ]
    ):
        data = tmp_path / str(number)
        assert run("init", "--data", data, *options).status == 0
        assert tomllib.loads((data / "appliance.toml").read_text())["server"]["listen"] == listens
    done = run("init", "--data", tmp_path / "y", "--url", "https://mdm.example.com")
    assert f"appliance serve --data {tmp_path / 'y'} --listen 0.0.0.0:443\n" in done.err
    refused = run("init", "--data", tmp_path / "x", "--url", URL, "--listen", "443")
    assert (refused.status, (tmp_path / "x").exists()) == (2, False)
    assert "'443' is not ADDRESS:PORT" in refused.err


def test_init_keeps_a_name_with_quotes(data: Path) -> None:
    settings = tomllib.loads((data / "appliance.toml").read_text())
    assert settings["server"]["organization"] == 'The "Lab"'


def test_the_directory_of_another_user_is_named_with_its_owner(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may look into everything
    with pytest.raises(DirectoryForbidden) as caught:
        _ = Settings(data=data).directory
    assert exit_status(caught.value) == 5
    assert f"sudo -u {getpass.getuser()}" in caught.value.fix


def test_init_refuses_a_directory_in_use(run: Cli, data: Path) -> None:
    before = (data / "keys" / "ca.pem").read_bytes()
    done = run("init", "--data", data, "--url", URL)
    assert (done.status, done.out) == (7, "")
    assert done.err.startswith("error[data.exists]: ")
    assert "\nwhy: " in done.err
    assert "\nfix: " in done.err
    assert (data / "keys" / "ca.pem").read_bytes() == before


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host",
        "https://",
        "https://host/path",
        "https://host:0",
        "https://host:65536",
        "https://me@host",
        "https://host?a",
        "https://host#a",
        "https://ho st",
        "https://[::g]",
        "https://-host",
        f"https://{64 * 'a'}",
        "https://host\n",
        "https://[::1::2]",
        "https://h:",
    ],
)
def test_init_refuses_a_url_that_devices_could_not_use(run: Cli, tmp_path: Path, url: str) -> None:
    done = run("init", "--data", tmp_path / "new", "--url", url)
    assert done.status == 2
    assert not (tmp_path / "new").exists()


def test_a_new_token_is_alone_on_stdout(run: Cli, data: Path) -> None:
    done = run("token", "create", "ci", "--scope", "read", "--data", data)
    assert done.status == 0
    assert done.out.startswith("apl_")
    assert done.out.count("\n") == 1
    assert "apl_" not in done.err
    listed = run("token", "list", "--json", "--data", data).json
    assert [(item["name"], item["scopes"]) for item in listed["items"]] == [("ci", ["read"])]
    assert run("token", "revoke", "ci", "--data", data).status == 0
    assert run("token", "revoke", "ci", "--data", data).status == 6


def test_json_and_data_go_before_or_after_the_verb(run: Cli, data: Path) -> None:
    for arguments in (
        ("--json", "--data", data, "enroll", "link"),
        ("enroll", "--json", "link", "--data", data),
        ("enroll", "link", "--data", data, "--json"),
    ):
        done = run(*arguments)
        assert (done.status, done.err) == (0, "")
        assert {"code", "url", "profile_url"} <= set(done.json)


def test_a_link_is_made_listed_and_revoked(run: Cli, data: Path) -> None:
    done = run("enroll", "link", "--uses", 2, "--expires", "12h", "--label", "lab", "--data", data)
    shown = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert shown["url"] == f"{URL}/e/{shown['code']}"
    assert shown["profile_url"].startswith(shown["url"])
    assert "0 of 2" in run("enroll", "list", "--data", data).out
    assert run("enroll", "revoke", shown["code"], "--data", data).status == 0
    assert "revoked" in run("enroll", "list", "--data", data).out


def test_a_wrong_duration_is_a_usage_error(run: Cli, data: Path) -> None:
    done = run("enroll", "link", "--expires", "soon", "--data", data)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error[")


def test_push_cert_status_works_without_a_server(run: Cli, data: Path) -> None:
    done = run("push-cert", "status", "--json", "--data", data)
    assert (done.status, done.json["configured"]) == (0, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("device", "list"),
        ("command", "send", "x", "ProfileList"),
        ("ca", "status"),
        ("tls", "status"),
        ("push-cert", "test"),
    ],
)
def test_the_rest_needs_a_server(run: Cli, data: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--data", data)
    assert (done.status, done.out) == (4, "")
    assert f"appliance serve --data {data}" in done.err


@pytest.mark.parametrize("arguments", [("status",), ("token", "list"), ("enroll", "link")])
def test_a_directory_without_appliance_is_3(
    run: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run(*arguments, "--data", tmp_path / "none")
    assert (done.status, done.out) == (3, "")
    assert "appliance init" in done.err


def test_the_environment_names_the_directory(
    run: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_DATA", str(data))
    assert run("token", "list").status == 0


def test_a_broken_configuration_is_named(run: Cli, data: Path) -> None:
    with (data / "appliance.toml").open("a") as file:
        file.write("[push]\nprot = 1\n")
    done = run("token", "list", "--data", data)
    assert done.status == 2
    assert "push.prot" in done.err
    assert "appliance.toml:" in done.err


def test_keys_that_others_can_read_are_refused_with_the_fix(run: Cli, data: Path) -> None:
    (data / "keys" / "ca.key").chmod(0o644)
    done = run("token", "list", "--data", data)
    assert done.status == 7
    assert f"chmod 0600 {data / 'keys' / 'ca.key'}" in done.err


def test_a_deep_directory_is_no_obstacle(run: Cli, tmp_path: Path) -> None:
    data = tmp_path / ("deep" * 30) / "data"
    data.parent.mkdir(mode=0o700)
    assert run("init", "--data", data, "--url", URL).status == 0
    assert run("token", "create", "ci", "--data", data).status == 0


def test_version_names_the_libraries(run: Cli) -> None:
    assert set(run("version", "--json").json) == {
        "version", "python", "sqlite", "expat", "openssl", "cryptography_openssl", "frozen",
        "platform", "warnings",
    }  # fmt: skip
    assert run("version").out.startswith("appliance ")


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("device", "nothing"), ("token", "create"), ("--nothing",)]
)
def test_usage_errors_are_2_with_a_hint(run: Cli, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error[usage]: ")
    assert "--help" in done.err


def test_the_module_runs_as_a_program() -> None:
    command = [*PROGRAM, "version", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_crash() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*PROGRAM, "version"]
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(write)
    assert "Traceback" not in done.stderr
