"""`appliance service`: what would be written and run, and what is refused."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import daemon, errors
from appliance.cli.exits import exit_status
from appliance.errors import ApplianceError, ServiceFailed

from .conftest import URL, Cli

# They change what the program knows of its machine, which an executable does not let them.
pytestmark = pytest.mark.skipif("APPLIANCE_EXECUTABLE" in os.environ, reason="source only")

UNIT = "etc/systemd/system/appliance.service"


@pytest.fixture(autouse=True)
def systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """These are the tests of Linux, wherever they run."""
    monkeypatch.setattr(daemon, "manager", lambda: daemon.SYSTEMD)


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    """Something to run."""
    path = tmp_path / "download" / "appliance"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    return path


def _settings(unit: str) -> dict[str, str]:
    lines = [line for line in unit.splitlines() if line and line[0] not in "#["]
    return dict(line.split("=", 1) for line in lines)


def test_a_dry_run_says_everything_and_does_nothing(
    run: Cli, tmp_path: Path, executable: Path
) -> None:
    data = tmp_path / "data"
    done = run(
        "service", "install", "--dry-run", "--executable", executable, "--data", data,
        "--url", URL, "--organization", "The Lab",
    )  # fmt: skip
    assert (done.status, done.err) == (0, "")
    commands = [line[4:] for line in done.out.splitlines() if line.startswith("run ")]
    program = "/usr/local/bin/appliance"
    assert commands[0] == f"install -m 0755 {executable} {program}"
    init = f"{program} init --data {data} --url {URL} --organization 'The Lab'"
    init += " --listen 0.0.0.0:8443"
    assert commands.index(init) < commands.index(f"chown -R appliance: {data}")
    assert commands[-1] == "systemctl restart appliance"
    assert f"ReadWritePaths={data}\n" in done.out
    assert not data.exists()


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        (["--url", "https://mdm.example.org"], ["0.0.0.0:443"]),
        (["--url", "https://[2001:db8::1]"], ["[::]:443"]),
        (
            ["--url", URL, "--listen", "127.0.0.1:9443", "--listen", "[::1]:9443"],
            ["127.0.0.1:9443", "[::1]:9443"],
        ),
    ],
)
def test_the_service_listens_where_its_url_says_or_as_told(
    run: Cli, tmp_path: Path, executable: Path, options: list[str], addresses: list[str]
) -> None:
    common = ("--dry-run", "--json", "--executable", executable, "--data", tmp_path / "data")
    done = run("service", "install", *common, *options)
    (init,) = (step["run"] for step in done.json if "init" in step.get("run", ()))
    assert [init[at + 1] for at, word in enumerate(init) if word == "--listen"] == addresses


def test_settings_from_elsewhere_are_refused(run: Cli, tmp_path: Path, executable: Path) -> None:
    common = ("--dry-run", "--executable", executable, "--data", tmp_path, "--url", URL)
    done = run("service", "install", *common, "--config", tmp_path / "other.toml")
    assert (done.status, done.out) == (2, "")
    assert "appliance.toml in its data directory" in done.err


def test_a_url_that_is_none_installs_nothing(run: Cli, tmp_path: Path, executable: Path) -> None:
    common = ("--dry-run", "--executable", executable, "--data", tmp_path / "data")
    done = run("service", "install", *common, "--url", "https://mdm.example.org:99999")
    assert (done.status, done.out) == (2, "")
    assert "server.url must look like" in done.err


def test_a_dry_run_in_json_is_a_list_of_steps(run: Cli, tmp_path: Path, executable: Path) -> None:
    common = ("--json", "--data", "/var/lib/appliance")
    options = ("--dry-run", "--executable", executable, "--url", URL)
    done = run("service", "install", *options, *common)
    assert (done.status, done.err) == (0, "")
    copied, *_, restart = done.json
    program = "/usr/local/bin/appliance"
    assert copied == {"run": ["install", "-m", "0755", str(executable), program]}
    assert restart == {"run": ["systemctl", "restart", "appliance"]}
    (written,) = (step for step in done.json if "write" in step)
    assert written["write"] == f"/{UNIT}"
    assert f"ExecStart={program} serve" in written["content"]

    below = ("--root", tmp_path / "image")
    done = run("service", "install", "--executable", executable, *below, *common)
    assert (done.status, done.out) == (0, ""), "there is nothing to say"
    stop, removed, forget = run("service", "uninstall", "--dry-run", *below, *common).json
    assert stop == {"run": ["systemctl", "disable", "--now", "appliance"]}
    assert removed == {"remove": str(tmp_path / "image" / UNIT)}
    assert forget == {"run": ["systemctl", "daemon-reload"]}
    assert run("service", "uninstall", *below, *common).out == ""
    assert run("service", "uninstall", "--dry-run", *below, *common).json == []


def test_files_go_below_a_root_without_any_command(
    run: Cli, tmp_path: Path, executable: Path
) -> None:
    arguments = ["--root", tmp_path / "image", "--data", "/var/lib/appliance"]
    assert run("service", "install", "--executable", executable, *arguments).status == 0
    unit = tmp_path / "image" / UNIT
    settings = _settings(unit.read_text())
    assert settings["ExecStart"] == "/usr/local/bin/appliance serve --data /var/lib/appliance"
    assert settings["Environment"] == "TMPDIR=/var/lib/appliance/run"
    assert settings["User"] == "appliance"
    assert run("service", "uninstall", *arguments).status == 0
    assert not unit.exists()
    again = run("service", "uninstall", *arguments)
    assert (again.status, again.err) == (0, "The service is not installed.\n")


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.PassphraseRequired("no passphrase"), False),
        (errors.DataDirectoryUnusable("keys that others can read"), False),
        (errors.DirectoryForbidden("another user's"), False),
        (errors.ConfigError("a word that no setting has"), False),
        (errors.NotInitialised("no appliance"), False),
        (errors.StoreDamaged("damage"), False),
        (errors.DirectoryInUse("a command of the administrator has it"), True),
        (errors.ListenFailed("the address comes later"), True),
        (errors.StoreFailed("the disk failed"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_service_is_started_again_only_where_that_may_help(
    executable: Path, tmp_path: Path, error: ApplianceError, again: bool
) -> None:
    settings = _settings(daemon.service_file(daemon.SYSTEMD, executable, tmp_path).decode())
    assert (settings["Restart"], settings["RestartSec"]) == ("on-failure", "2")
    assert (str(exit_status(error)) not in settings["RestartPreventExitStatus"].split()) == again


def test_a_long_migration_is_not_cut_short_by_systemd(executable: Path, tmp_path: Path) -> None:
    """By default after 90 seconds; it would begin anew with each start."""
    settings = _settings(daemon.service_file(daemon.SYSTEMD, executable, tmp_path).decode())
    assert settings["TimeoutStartSec"] == "1h"


def test_awkward_paths_are_quoted(tmp_path: Path, executable: Path) -> None:
    unit = daemon.service_file(daemon.SYSTEMD, executable, Path('/srv/100% "lab"')).decode()
    settings = _settings(unit)
    assert settings["ReadWritePaths"] == r'"/srv/100%% \"lab\""'
    assert settings["Environment"] == r'"TMPDIR=/srv/100%% \"lab\"/run"'
    assert "StateDirectory" not in settings
    if program := shutil.which("systemd-analyze"):
        shutil.copy(executable, tmp_path / "program")
        (tmp_path / "program").chmod(0o755)
        unit = daemon.service_file(
            daemon.SYSTEMD, tmp_path / "program", Path('/srv/100% "lab"')
        ).decode()
        (tmp_path / "appliance.service").write_text(unit)
        done = subprocess.run(
            [program, "verify", tmp_path / "appliance.service"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_the_file_of_launchd_names_program_and_data() -> None:
    program, data = Path("/opt/appliance/appliance"), Path("/srv/mdm")
    service = plistlib.loads(daemon.service_file(daemon.LAUNCHD, program, data))
    assert service["Label"] == daemon.LAUNCHD.file.stem
    assert service["ProgramArguments"] == [str(program), "serve", "--data", str(data)]
    assert service["EnvironmentVariables"] == {"TMPDIR": str(data / "run")}
    assert service["KeepAlive"] == {"SuccessfulExit": False}
    assert service["ThrottleInterval"] == 60, "it tries for ever, but not all the time"
    assert (service["UserName"], service["Umask"]) == ("_appliance", 0o077)


def test_the_folder_of_a_package_runs_where_it_is(tmp_path: Path, executable: Path) -> None:
    (executable.parent / "_internal").mkdir()
    steps = daemon.install_steps(
        daemon.SYSTEMD, executable=executable, data=tmp_path, initialise=[]
    )
    assert not any(str(step).startswith("install ") for step in steps)
    (file,) = (step for step in steps if isinstance(step, daemon.WriteFile))
    assert f"ExecStart={executable} serve".encode() in file.content


def test_without_data_and_url_nothing_is_installed(
    run: Cli, tmp_path: Path, executable: Path
) -> None:
    done = run("service", "install", "--executable", executable, "--data", tmp_path / "none")
    assert done.status == 3
    assert "--url" in done.err


def test_a_home_directory_is_refused(run: Cli, executable: Path) -> None:
    arguments = ["--executable", executable, "--data", "/home/me/mdm", "--dry-run"]
    done = run("service", "install", *arguments)
    assert done.status == 7
    assert done.err.startswith("error[service.home]: ")


def test_only_root_may_install(
    run: Cli, data: Path, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    done = run("service", "install", "--executable", executable, "--data", data)
    assert done.status == 5
    assert "sudo" in done.err


def test_a_command_that_fails_is_an_error_with_its_own_words() -> None:
    with pytest.raises(ServiceFailed) as caught:
        daemon.run(daemon.RunCommand(arguments=("sh", "-c", "echo no such unit >&2; exit 5")))
    assert caught.value.why == "no such unit"
