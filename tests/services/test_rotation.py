"""A new key for the vault: everything is sealed anew or nothing, whenever the power goes off."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from appliance.app import initialise, open_appliance
from appliance.config import Config
from appliance.errors import DataDirectoryUnusable, InvalidRequest
from appliance.services import rotation
from appliance.services.command_orders import CommandOrder
from appliance.services.data_directory import DataDirectory
from appliance.services.key_files import KeyFiles, ask_nobody
from appliance.services.repeats import Request
from appliance.store import sealed
from tests.services.vaults import SORTS, contents, fill, opened
from tests.web.api_client import enroll

_SOURCE = Path(rotation.__file__).parents[1]
_NOTHING = dict.fromkeys(SORTS, 0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory full of secrets."""
    data = tmp_path_factory.mktemp("template") / "data"
    asyncio.run(initialise(Config(data=data)))
    fill(data, 20)
    return data


def _rotate(data: Path) -> dict[str, int]:
    return asyncio.run(rotation.rotate(DataDirectory(data), ask_nobody))


def _start(data: Path) -> None:
    async def start() -> None:
        async with open_appliance(Config(data=data)):
            pass

    asyncio.run(start())


def _key(data: Path) -> bytes:
    return (data / "keys" / "vault.key").read_bytes()


def _query(data: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(data / "appliance.db")) as db:
        return db.execute(sql).fetchall()


def test_everything_is_sealed_anew_and_the_old_key_opens_nothing(data: Path) -> None:
    old, before, had = _key(data), contents(data), opened(data)
    assert _rotate(data) == had
    assert _key(data) != old
    assert opened(data) == had
    assert opened(data, old) == _NOTHING
    stored = b"".join(path.read_bytes() for path in data.glob("appliance.db*"))
    assert not any(content in stored for content in before), "nor is it in a page nobody uses"
    assert _query(data, "SELECT kind, data FROM events") == [
        ("vault.rotated", f'{{"secrets":{sum(had.values())}}}')
    ]
    _start(data)


def test_what_is_not_sealed_stays_as_it_is(data: Path) -> None:
    rest = """
    SELECT id, body FROM commands JOIN command_payloads ON command_id = id
     WHERE sealed = 0 OR body = x'' ORDER BY id
    """
    before = _query(data, rest)
    _rotate(data)
    assert _query(data, rest) == before


def test_it_can_be_done_again_and_again(data: Path) -> None:
    had, keys = opened(data), {_key(data)}
    for _ in range(3):
        _rotate(data)
        keys.add(_key(data))
    assert len(keys) == 4
    assert opened(data) == had


def _steps() -> list[tuple[object, str, bool]]:
    """Where the power goes off: what is called then, and whether it was done before."""
    return [
        (KeyFiles, "write", False),
        (KeyFiles, "write", True),
        (sealed, "_reseal", True),
        (rotation, "put_proof", True),
        (rotation, "_finish", False),
        (KeyFiles, "take_next_vault", False),
        (KeyFiles, "take_next_vault", True),
    ]


@pytest.mark.parametrize(("owner", "step", "done"), _steps())
def test_an_interruption_is_finished_or_forgotten_at_the_next_start(
    data: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str, done: bool
) -> None:
    had = opened(data)
    original: Callable[..., object] = getattr(owner, step)

    def crash(*arguments: object) -> None:
        if done:
            original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, step, crash)
        _rotate(data)
    _start(data)
    assert opened(data) == had
    assert not (data / "keys" / "vault.next").exists()
    assert _rotate(data) == had


def test_a_key_that_is_neither_the_old_nor_the_new_one_is_refused(data: Path) -> None:
    for name in ("vault.key", "vault.next"):
        (data / "keys" / name).write_bytes(bytes(32))
        (data / "keys" / name).chmod(0o600)
    with pytest.raises(DataDirectoryUnusable, match="not the key"):
        _start(data)
    assert (data / "keys" / "vault.next").exists(), "nothing is thrown away that may be needed"


def test_a_secret_that_does_not_open_stops_it_and_nothing_is_changed(data: Path) -> None:
    with closing(sqlite3.connect(data / "appliance.db")) as db, db:
        other = "SELECT sealed FROM escrow WHERE id = 6"
        db.execute(f"UPDATE escrow SET sealed = ({other}) WHERE id = 5")
    had, key = opened(data), _key(data)
    with pytest.raises(DataDirectoryUnusable, match="unlock_token of device-4") as caught:
        _rotate(data)
    assert caught.value.fix
    _start(data)
    assert (_key(data), opened(data)) == (key, had)


def test_copies_of_the_store_that_only_the_old_key_opens_are_removed(data: Path) -> None:
    copy = data / "backups" / "before-schema-0008-from-0007.db"
    others = [data / "backups" / "mine.db", data / "backups" / "appliance-1.tar.age"]
    for path in (copy, *others):
        path.touch(mode=0o600)
    _rotate(data)
    assert not copy.exists()
    assert all(path.exists() for path in others)


def test_a_request_from_before_is_not_done_a_second_time(data: Path) -> None:
    request = Request(caller="Aki", key="key", content=b"body")
    order = CommandOrder(targets=["one"], request_type="ProfileList", request=request)

    async def send() -> None:
        async with open_appliance(Config(data=data)) as parts:
            await parts.services.commands.enqueue(order)

    with closing(sqlite3.connect(data / "appliance.db")) as db, db:
        enroll(db, "one", "Mac")
    asyncio.run(send())
    _rotate(data)
    with pytest.raises(InvalidRequest, match="before the key of the vault was changed"):
        asyncio.run(send())
    assert _query(data, "SELECT count(*) FROM commands WHERE enrollment_id = 'one'") == [(1,)]


def test_every_kind_of_secret_that_is_sealed_anywhere_is_known_to_a_rotation() -> None:
    """Who adds a sealed column adds it to `store/sealed`: a rotation would lose it otherwise."""
    call = re.compile(r"vault\.(?:seal|open|fingerprint)\(\s*([^,)]+)", re.IGNORECASE)
    found: set[str] = set()
    for path in _SOURCE.rglob("*.py"):
        if path.name not in ("selfcheck.py", "rotation.py", "vault_proof.py"):
            found |= set(call.findall(path.read_text()))
    # `kind` are the two kinds of escrow; "request" is what becomes empty in a rotation.
    assert found == {
        "kind", '"unlock_token"', '"bootstrap_token"', '"command"', '"answer"', '"push_key"',
        '"request"', '"shared_command"', '"webhook"',
    }  # fmt: skip
