"""`appliance selfcheck`: a whole build passes, a damaged one says what is missing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import resources
from appliance.mdm.catalogue import catalogue
from appliance.web import languages, pages
from appliance.web.assets import assets

from .conftest import Cli


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The bundled files as a copy that may be damaged."""
    if "APPLIANCE_EXECUTABLE" in os.environ:
        pytest.skip("the files of an executable are packed")
    for folder in (resources.static_dir(), resources.config_dir(), resources.package_dir()):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("*.py*"))
    monkeypatch.setattr(resources, "package_dir", lambda: tmp_path / "appliance")
    (tmp_path / resources.RECORD).write_text(json.dumps(resources.digests()))
    cached = (catalogue, assets, pages.environment, languages.catalogue)
    for function in cached:
        function.cache_clear()
    yield tmp_path
    for function in cached:
        function.cache_clear()


def test_a_whole_build_passes(run: Cli) -> None:
    done = run("selfcheck")
    assert done.status == 0, done.out
    lines = done.out.splitlines()
    assert all(line.startswith("✔ ") and " ms" in line for line in lines)
    report = run("selfcheck", "--json").json
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]] == [line[2:20].strip() for line in lines]


@pytest.mark.parametrize(
    ("damaged", "check"),
    [
        ("appliance/mdm/catalogue.json", "command catalogue"),
        ("appliance/web/templates/help.html", "pages"),
        ("appliance/store/migrations/0001_initial.sql", "store"),
    ],
)
def test_a_damaged_file_breaks_what_needs_it(
    run: Cli, copied: Path, damaged: str, check: str
) -> None:
    (copied / damaged).write_text("{% } damaged = <")
    report = run("selfcheck", "--json")
    assert (report.status, report.json["ok"]) == (12, False)
    errors = {entry["name"]: entry["error"] for entry in report.json["checks"]}
    assert errors[check]
    assert damaged in errors["files"]
    done = run("selfcheck")
    assert done.status == 12
    assert any(line.startswith(f"✖ {check}") for line in done.out.splitlines())
    assert "this build is damaged" in done.err


@pytest.mark.parametrize(
    "name", ["appliance/web/locale/ja/LC_MESSAGES/appliance.po", "config/appliance.toml"]
)
@pytest.mark.parametrize("missing", [True, False])
def test_a_file_that_is_not_as_it_was_built_is_named(
    run: Cli, copied: Path, name: str, missing: bool
) -> None:
    if missing:
        (copied / name).unlink()
    else:
        (copied / name).write_text("")
    done = run("selfcheck")
    assert done.status == 12
    assert any(line.startswith("✖ files") and name in line for line in done.out.splitlines())
