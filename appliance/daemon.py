"""The service of the operating system, as the steps that install it and take it away again."""

from __future__ import annotations

import plistlib
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import resources
from appliance.errors import ServiceFailed

# What the bundled files name; the installer puts the real places in.
_EXECUTABLE = Path("/usr/local/bin/appliance")
_DATA = Path("/var/lib/appliance")
_COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """A file to write; everyone may read it."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """A command to run."""

    arguments: Sequence[str]

    def __str__(self) -> str:
        return shlex.join(self.arguments)


Step = WriteFile | RunCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """systemd or launchd: where its file is, whom the server runs as, and its commands."""

    name: str
    file: Path
    user: str
    new_user: Sequence[str]
    start: Sequence[Sequence[str]]
    stop: Sequence[Sequence[str]]
    forget: Sequence[Sequence[str]]  # after the file is gone
    show: Sequence[str]  # succeeds while the service runs

    @property
    def has_user(self) -> bool:
        """Tell whether the user exists already."""
        try:
            pwd.getpwnam(self.user)
        except KeyError:
            return False
        return True


SYSTEMD = Manager(
    name="systemd",
    file=Path("/etc/systemd/system/appliance.service"),
    user="appliance",
    new_user=(
        *("useradd", "--system", "--user-group", "--no-create-home"),
        *("--home-dir", str(_DATA), "--shell", "/usr/sbin/nologin", "appliance"),
    ),
    start=(
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "appliance"),
        ("systemctl", "restart", "appliance"),
    ),
    stop=(("systemctl", "disable", "--now", "appliance"),),
    forget=(("systemctl", "daemon-reload"),),
    show=("systemctl", "is-active", "--quiet", "appliance"),
)

LAUNCHD = Manager(
    name="launchd",
    file=Path("/Library/LaunchDaemons/local.appliance.plist"),
    user="_appliance",
    new_user=(
        *("sysadminctl", "-addUser", "_appliance", "-UID", "399", "-roleAccount"),
        *("-home", str(_DATA), "-shell", "/usr/bin/false"),
    ),
    # The one that may run already must go first: launchd refuses to load it twice.
    start=(
        (
            *("sh", "-c"),
            "launchctl bootout system/local.appliance 2>/dev/null; "
            "launchctl bootstrap system /Library/LaunchDaemons/local.appliance.plist",
        ),
    ),
    stop=(("launchctl", "bootout", "system/local.appliance"),),
    forget=(),
    show=("launchctl", "print", "system/local.appliance"),
)


def manager() -> Manager:
    """Return the service manager of this operating system."""
    return LAUNCHD if sys.platform == "darwin" else SYSTEMD


def install_steps(
    manager: Manager, *, executable: Path, data: Path, initialise: Sequence[str]
) -> list[Step]:
    """Return what makes a service of `executable`.

    One file is copied to where only root writes; the folder of a package runs where it is.

    Args:
        data: the data directory; it will belong to the service's user.
        initialise: arguments of `appliance init` for a new data directory, or none.
    """
    steps: list[Step] = []
    if not (executable.parent / "_internal").is_dir() and executable != _EXECUTABLE:
        copy = ("install", "-m", "0755", str(executable), str(_EXECUTABLE))
        steps.append(RunCommand(arguments=copy))
        executable = _EXECUTABLE
    if not manager.has_user:
        steps.append(RunCommand(arguments=manager.new_user))
    if initialise:
        command = (str(executable), "init", "--data", str(data), *initialise)
        steps.append(RunCommand(arguments=command))
    steps.append(RunCommand(arguments=("chown", "-R", f"{manager.user}:", str(data))))
    content = service_file(manager, executable, data)
    steps.append(WriteFile(path=manager.file, content=content))
    return [*steps, *(RunCommand(arguments=command) for command in manager.start)]


def service_file(manager: Manager, executable: Path, data: Path) -> bytes:
    """Return the content of the manager's file for this executable and data directory."""
    source = (resources.config_dir() / manager.file.name).read_bytes()
    if manager is LAUNCHD:
        document = plistlib.loads(source)
        document["ProgramArguments"] = [str(executable), "serve", "--data", str(data)]
        document["EnvironmentVariables"] = {"TMPDIR": str(data / "run")}
        document["StandardErrorPath"] = str(data / "server.log")
        return plistlib.dumps(document)
    changes = {f"ExecStart={_EXECUTABLE} ": f"ExecStart={_quoted(executable)} "}
    if data != _DATA:
        changes |= {
            "StateDirectory=appliance\nStateDirectoryMode=0700": f"ReadWritePaths={_quoted(data)}",
            f"--data {_DATA}": f"--data {_quoted(data)}",
            f"TMPDIR={_DATA}/run": _quoted(f"TMPDIR={data}/run"),
        }
    text = source.decode()
    for bundled, actual in changes.items():
        text = text.replace(bundled, actual)
    return text.encode()


def _quoted(value: object) -> str:
    """Quote for systemd, where needed; it also expands `%`."""
    text = str(value).replace("%", "%%")
    if re.fullmatch(r"[\w/.+%=-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def perform(steps: Sequence[Step], *, root: Path | None = None) -> None:
    """Do the steps in order. With `root`, write files below it and run no command.

    Raises:
        ServiceFailed: a command failed, or a file cannot be written.
    """
    for step in steps:
        if isinstance(step, WriteFile):
            _write(step, root)
        elif root is None:
            run(step)


def _write(step: WriteFile, root: Path | None) -> None:
    path = step.path if root is None else root / step.path.relative_to("/")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(step.content)
        path.chmod(0o644)
    except OSError as error:
        raise ServiceFailed(f"cannot write {path}: {error.strerror}") from error


def run(command: RunCommand, *, check: bool = True) -> bool:
    """Run a command of the system, and tell whether it succeeded.

    Raises:
        ServiceFailed: it did not, and `check` is set; its own words are the reason.
    """
    try:
        with resources.outside_environment():
            done = subprocess.run(  # noqa: S603 - arguments of ours, no shell
                command.arguments, capture_output=True, text=True, timeout=_COMMAND_SECONDS,
                check=False,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailed(f"`{command}` failed", why=str(error)) from error
    if check and done.returncode:
        raise ServiceFailed(f"`{command}` failed", why=(done.stderr or done.stdout).strip())
    return done.returncode == 0
