"""Times as people type them, texts as terminals show them, errors as scripts see them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click
import pytest

from appliance import errors
from appliance.cli.durations import until
from appliance.cli.exits import Refused, ServerUnreachable, exit_status
from appliance.cli.output import cell, moment, print_table, printable
from appliance.web.errors import API_STATUS, status_of

from .conftest import Cli

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", "2026-01-08T00:00:00Z"),
        ("12h", "2026-01-01T12:00:00Z"),
        ("90s", "2026-01-01T00:01:30Z"),
        ("2w", "2026-01-15T00:00:00Z"),
        ("2027-01-31T12:00Z", "2027-01-31T12:00:00Z"),
        ("2027-01-31T12:00+02:00", "2027-01-31T10:00:00Z"),
        ("2027-01-31", "2027-01-31T00:00:00Z"),
    ],
)
def test_a_time_is_a_duration_or_iso_8601(text: str, expected: str) -> None:
    assert until(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "7", "7y", "-7d", "9999999d", "999999w"])
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        until(text, now=NOW)


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\n\u202ec") == "a\\x1b[2Jb\\r\\n\\u202ec"
    assert printable("Zoë の iPad") == "Zoë の iPad"
    assert "\x1b" not in cell({"name": "\x1b"})


def test_what_names_a_row_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("ID", "NAME", "X"), [("i" * 73, "n" * 61, "x"), ("j", "m", "y")])
    _, long, short = capsys.readouterr().out.splitlines()
    assert long.split() == ["i" * 73, "n" * 59 + "…", "x"]
    assert long.index(" x") == short.index(" y")


def test_a_moment_is_short_and_in_utc() -> None:
    assert moment("2026-01-31T12:34:56.123Z") == "2026-01-31 12:34:56Z"
    assert moment(None) is None


@pytest.mark.parametrize(
    "noun", ["certificate", "command", "device", "enrollment_link", "token", "user", "webhook"]
)
def test_who_names_what_is_not_there_is_told_where_to_look(run: Cli, noun: str) -> None:
    told = re.search(r"see `appliance ([a-z ]+)", errors.NotFound(noun, "nothing").fix)
    assert told is not None
    assert run(*told[1].split(), "--help").status == 0, "there is such a command"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ApplianceError("?"), 1),
        (errors.InvalidRequest("?"), 2),
        (errors.NotInitialised("?"), 3),
        (ServerUnreachable("?"), 4),
        (errors.ScopeMissing("?"), 5),
        (errors.NotFound("device", "x"), 6),
        (errors.Conflict("?", code="x"), 7),
        (errors.DataDirectoryUnusable("?"), 7),
        (errors.ClockWrong("?"), 7),
        (errors.ConfirmationRequired("?"), 11),
    ],
)
def test_each_error_has_its_exit_status(error: errors.ApplianceError, status: int) -> None:
    assert exit_status(error) == status


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        ("request.invalid", 422, 2),
        ("auth.required", 401, 5),
        ("auth.scope_missing", 403, 5),
        ("device.not_found", 404, 6),
        ("command.duplicate", 409, 7),
        ("command.not_supported", 422, 7),
        ("command.confirmation_required", 422, 11),
        ("internal", 500, 1),
        ("server.busy", 503, 1),
        ("clock.wrong", 503, 7),
        ("request.too_many", 429, 1),
    ],
)
def test_each_problem_of_the_server_has_its_exit_status(code: str, http: int, status: int) -> None:
    assert exit_status(Refused("?", code=code, status=http, why="", fix="")) == status


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and "code" in vars(kind)],
    ids=lambda kind: kind.__name__,
)
def test_an_error_ends_a_command_alike_here_and_from_the_server(
    kind: type[errors.ApplianceError],
) -> None:
    here = kind.__new__(kind)
    errors.ApplianceError.__init__(here, "?")
    status = status_of(here, API_STATUS)
    told = Refused("?", code=kind.code, status=status, why="", fix="")
    assert exit_status(here) == exit_status(told)
