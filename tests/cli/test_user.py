"""People who sign in to the page: from the command line, and the first one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.device.server import RunningServer

from .conftest import URL, Cli

PASSWORD = "correct horse battery"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password, from a pipe."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))


def test_init_gives_a_setup_code(run: Cli, tmp_path: Path) -> None:
    done = run("init", "--data", tmp_path / "new", "--url", URL, "--json")
    assert done.json["setup_url"] == f"{URL}/setup#{done.json['setup_code']}"
    assert len(done.json["setup_code"].replace("-", "")) >= 20
    assert not set("01IO") & set(done.json["setup_code"])
    other = run("init", "--data", tmp_path / "other", "--url", URL)
    assert f"{URL}/setup#" in other.err


@pytest.mark.usefixtures("typed")
def test_a_user_is_added_without_a_server(run: Cli, data: Path) -> None:
    done = run("user", "add", "Aki", "--data", data)
    assert (done.status, done.out) == (0, "")
    assert PASSWORD not in done.err
    listed = run("user", "list", "--data", data)
    assert listed.out.splitlines()[1].startswith("Aki ")
    refused = run("user", "remove", "aki", "--data", data)
    assert refused.status == 7
    assert "user.last" in refused.err


def test_a_bad_password_is_a_usage_error(
    run: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    done = run("user", "add", "Aki", "--data", data)
    assert done.status == 2
    assert "error[user.password_short]" in done.err


@pytest.mark.usefixtures("typed")
def test_passwd_of_nobody_is_not_found(run: Cli, data: Path) -> None:
    assert run("user", "passwd", "nobody", "--data", data).status == 6


def test_open_needs_the_server_whose_page_it_opens(run: Cli, data: Path) -> None:
    assert run("open", "--data", data).status == 4


@pytest.mark.usefixtures("typed")
def test_the_server_prints_setup_until_there_is_a_user(run: Cli, tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.initialise()
    server.start()
    first = run("open", "--no-browser", "--data", server.data)
    assert first.out.startswith(f"{server.url}/setup#")
    assert run("user", "add", "Aki", "--data", server.data).status == 0
    second = run("open", "--no-browser", "--json", "--data", server.data).json
    assert second["url"] == f"{server.url}/login#{second['code']}"
    assert server.stop() == 0
    assert f"{server.url}/setup#" in server.log.read_text()
    server.log.unlink()
    server.start()
    assert server.stop() == 0
    assert "setup#" not in server.log.read_text()
