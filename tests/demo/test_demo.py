"""`appliance demo`: one command, and the board is alive; Ctrl-C, and nothing is left."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.running import Demo, is_alive
from tests.device.server import PROGRAM


def folders() -> set[Path]:
    """The folders of all demos on this machine."""
    return set(Path(tempfile.gettempdir()).glob("appliance-demo-*"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def demo(temporary: Path) -> Iterator[Demo]:
    """A demo with three devices."""
    running = Demo("--devices", "3", "--speed", "20")
    yield running
    running.end(signal.SIGKILL)


def ask(demo: Demo, *arguments: str) -> str:
    """Run a command of the command line on the demo's data directory."""
    command = [*PROGRAM, *arguments, "--data", demo.introduced()["data"]]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_every_device_enrolls_and_answers(demo: Demo) -> None:
    demo.all_enrolled()

    listed = ask(demo, "device", "list")

    assert listed.count("enrolled") == 3
    assert "lab-mini" in listed or "iPhone" in listed
    certificate = json.loads(ask(demo, "push-cert", "status", "--json"))
    assert certificate["days_left"] > 300, "or Home would ask for its renewal"


def seconds_to_end() -> float:
    """Start a demo and send Ctrl-C; nothing is left of it."""
    demo = Demo("--devices", "3", "--speed", "20")
    try:
        demo.all_enrolled()
        family = demo.family()
        assert family
        assert folders()
        seconds = demo.end(signal.SIGINT)
    finally:
        demo.end(signal.SIGKILL)
    assert demo.process.returncode == 0
    assert not [pid for pid in family if is_alive(pid)]
    assert not folders()
    assert "its data is removed" in demo.errors()
    return seconds


def test_ctrl_c_ends_everything_within_two_seconds_and_leaves_nothing(temporary: Path) -> None:
    assert any(seconds_to_end() < 2 for _ in range(5)), "a busy machine may let it wait, once"


def test_what_a_killed_demo_left_is_removed_by_the_next(demo: Demo, temporary: Path) -> None:
    demo.all_enrolled()
    family = demo.family()
    demo.end(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(is_alive, family)):
        assert time.monotonic() < deadline, "the simulated devices end with their demo"
        time.sleep(0.05)
    left = folders()
    assert left

    following = Demo("--devices", "1")
    try:
        following.all_enrolled()
        assert not left & folders()
    finally:
        following.end()


def test_a_second_demo_says_which_port_is_free(demo: Demo) -> None:
    demo.introduced()
    command = [*PROGRAM, "demo", "--no-browser", "--port", str(demo.port)]

    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert second.returncode == 7
    assert f"error[demo.port_in_use]: port {demo.port} is in use" in second.stderr
    assert "--port" in second.stderr.split("fix:")[1]
    assert demo.process.poll() is None


def test_a_port_of_another_program_is_named(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [*PROGRAM, "demo", "--no-browser", "--port", str(port)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert done.returncode == 7
    assert str(port) in done.stderr
    assert not folders()


def test_without_a_browser_it_goes_on_and_says_so(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    running = Demo("--devices", "1", browser=True)
    try:
        running.all_enrolled()
        assert "No browser was found here" in running.errors()
    finally:
        running.end()


def test_a_data_directory_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "demo", "--data", str(tmp_path / "data")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "data directory of its own" in done.stderr


def test_an_impatient_second_ctrl_c_leaves_nothing_either(demo: Demo) -> None:
    demo.all_enrolled()
    family = demo.family()

    demo.process.send_signal(signal.SIGINT)
    demo.end(signal.SIGINT)

    assert demo.process.returncode == 0
    assert not [pid for pid in family if is_alive(pid)]
    assert not folders()
