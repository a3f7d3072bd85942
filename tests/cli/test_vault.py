"""`appliance vault`: what it asks, says and refuses."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from .conftest import Cli

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPLIANCE_PASSPHRASE", "APPLIANCE_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))


def test_a_passphrase_can_come_through_a_pipe(
    run: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{WORDS}\nmore\n"))
    assert run("vault", "protect", "--data", data, "--json").json == {"protected": True}
    assert run("vault", "status", "--data", data).out == "protected  yes\n"
    monkeypatch.setenv("APPLIANCE_PASSPHRASE", WORDS)
    done = run("vault", "unprotect", "--data", data)
    assert (done.status, done.out) == (0, "")
    assert "plain files again" in done.err
    if "APPLIANCE_EXECUTABLE" not in os.environ:  # which has an environment of its own
        assert "APPLIANCE_PASSPHRASE" not in os.environ, "no child of ours gets it"


@pytest.mark.parametrize("typed", ["", "\n", "eleven char\n"])
def test_a_short_one_or_none_is_refused_with_a_better_idea(
    run: Cli, data: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    done = run("vault", "protect", "--data", data)
    assert done.status == 2
    assert "error[vault.passphrase_short]: a passphrase has at least 12 characters" in done.err
    assert "fix: take five or six words" in done.err
    assert run("vault", "status", "--data", data, "--json").json == {"protected": False}


def test_a_file_of_the_passphrase_ends_at_its_first_line(
    run: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{WORDS}\r\n")
    file.chmod(0o600)
    monkeypatch.setenv("APPLIANCE_PASSPHRASE_FILE", str(file))
    assert run("vault", "protect", "--data", data).status == 0
    monkeypatch.setenv("APPLIANCE_PASSPHRASE", WORDS)
    assert run("backup", "list", "--data", data).status == 0


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_g01_a_file_of_the_passphrase_that_others_can_use_is_refused(
    run: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(WORDS)
    file.chmod(mode)
    monkeypatch.setenv("APPLIANCE_PASSPHRASE_FILE", str(file))
    done = run("vault", "protect", "--data", data)
    assert (done.status, done.out) == (7, "")
    assert f"{file} can be used by others (mode 0{mode:o})" in done.err
    assert f"fix: chmod 0600 {file}" in done.err
    assert run("vault", "status", "--data", data, "--json").json == {"protected": False}
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert run("vault", "protect", "--data", data).status == 0, "systemd keeps it for one service"


@pytest.mark.parametrize("verb", ["rotate", "protect", "unprotect", "status"])
def test_where_nothing_is_there_is_nothing_to_seal(run: Cli, tmp_path: Path, verb: str) -> None:
    done = run("vault", verb, "--data", tmp_path / "nothing")
    assert (done.status, done.out) == (3, "")
    assert "holds no appliance" in done.err


def test_a_rotation_says_how_much_it_sealed(run: Cli, data: Path) -> None:
    counts = dict.fromkeys(
        ("escrow", "commands", "shared_commands", "answers", "webhooks", "push_keys"), 0
    )
    assert run("vault", "rotate", "--data", data, "--json").json == counts
    done = run("vault", "rotate", "--data", data)
    assert done.out.splitlines()[-1].split() == ["push", "keys", "0"]
    assert "the old one opens nothing any more" in done.err
