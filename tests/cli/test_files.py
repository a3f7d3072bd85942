"""What is no text: files and arguments that are not UTF-8, and what of them may be shown."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from appliance import cli
from appliance.cli.files import read_text

from .conftest import Cli

SECRET = b"top-secret\xff"


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (("webhook", "add", "https://example.com/hook", "--secret-file"), SECRET),
        (("webhook", "rotate", "--secret-file"), SECRET),
        (("migration", "expect"), f"device,{64 * 'a'}\n".encode("utf-16")),
    ],
)
def test_a_file_that_is_no_text_is_named_and_not_shown(
    run: Cli, data: Path, tmp_path: Path, arguments: tuple[str, ...], content: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    done = run(*arguments, file, "--data", data)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error[usage]: Invalid value: {file} is not text in UTF-8\nfix: ")
    assert "top-secret" not in done.err


def test_a_text_begins_after_its_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for encoding in ("utf-8", "utf-8-sig"):
        file.write_text("Zoë", encoding)
        assert read_text(file) == "Zoë"
    file.write_bytes(SECRET)
    with pytest.raises(click.BadParameter) as caught:
        read_text(file)
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize("verb", [("device", "show"), ("command", "cancel"), ("token", "revoke")])
def test_an_argument_that_is_no_text_is_a_usage_error(
    run: Cli, data: Path, verb: tuple[str, ...]
) -> None:
    done = run(*verb, os.fsdecode(b"\xff"), "--data", data)
    assert (done.status, done.out) == (2, "")
    assert "is not text in UTF-8" in done.err
    assert "Traceback" not in done.err


@pytest.mark.skipif("APPLIANCE_EXECUTABLE" in os.environ, reason="source only")
def test_an_unforeseen_error_does_not_show_what_was_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        SECRET.decode()

    monkeypatch.setattr(cli.root, "main", fail)
    assert cli.run([]) == 1
    err = capsys.readouterr().err
    assert "error[internal]: UnicodeDecodeError\n" in err
    assert "top-secret" not in err
