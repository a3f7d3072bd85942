"""Keys under a passphrase: read as before, never written plain, whole after every interruption."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.app import open_appliance
from appliance.config import Config
from appliance.errors import Conflict, DataDirectoryUnusable, InvalidRequest, PassphraseRequired
from appliance.services.data_directory import DataDirectory
from appliance.services.key_files import ask_nobody

WORDS = "correct horse battery staple"
NAMES = ("ca.key", "root.key", "tls.key", "vault.key")


def _ask() -> str:
    return WORDS


def _plain(data: Path) -> dict[str, bytes]:
    return {name: (data / "keys" / name).read_bytes() for name in NAMES}


def _read(data: Path) -> dict[str, bytes]:
    """The keys as the server reads them."""
    directory = DataDirectory(data)
    with directory.held(_ask):
        return {name: directory.key_files.read(name) for name in NAMES}


def _protect(data: Path) -> None:
    directory = DataDirectory(data)
    with directory.held(ask_nobody):
        directory.key_files.protect(WORDS)


def _unprotect(data: Path) -> None:
    directory = DataDirectory(data)
    with directory.held(_ask):
        directory.key_files.unprotect()


def _numbers(pem: bytes) -> object:
    return load_pem_private_key(pem, None).private_numbers()  # type: ignore[union-attr]


def _same(found: dict[str, bytes], expected: dict[str, bytes]) -> bool:
    return found["vault.key"] == expected["vault.key"] and all(
        _numbers(found[name]) == _numbers(expected[name]) for name in NAMES if name != "vault.key"
    )


def test_protected_keys_are_read_as_before_and_become_plain_again(data: Path) -> None:
    before = _plain(data)
    _protect(data)
    sealed = _plain(data)
    assert all(sealed[name] != before[name] for name in NAMES)
    assert _same(_read(data), before)
    _unprotect(data)
    assert _same(_plain(data), before)
    assert not (data / "keys" / "master.key").exists()


_Write = Callable[[DataDirectory, Path, bytes], None]


def _crash_at(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """Let the power go off at the `number`-th file that is written, or just after it."""
    original: _Write = DataDirectory.write_secret
    left = [number]

    def write(self: DataDirectory, path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise KeyboardInterrupt
        original(self, path, content)
        if left[0] == 0:
            raise KeyboardInterrupt

    patch.setattr(DataDirectory, "write_secret", write)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 6))
def test_an_interruption_while_they_are_sealed_loses_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    before = _plain(data)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _crash_at(patch, number, after=after)
        _protect(data)
    assert _same(_read(data), before)
    if DataDirectory(data).key_files.is_protected:
        assert all(before[name] != content for name, content in _plain(data).items())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 5))
def test_an_interruption_while_they_become_plain_loses_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    before = _plain(data)
    _protect(data)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _crash_at(patch, number, after=after)
        _unprotect(data)
    assert _same(_read(data), before)
    assert all(before[name] != content for name, content in _plain(data).items()), "sealed again"
    _unprotect(data)
    assert _same(_plain(data), before)


def test_a_server_certificate_that_is_renewed_gets_no_plain_key(data: Path) -> None:
    _protect(data)
    (data / "keys" / "tls.pem").unlink()

    async def open_() -> None:
        async with open_appliance(Config(data=data), _ask) as parts:
            assert parts.tls.pair.certificate.not_valid_after_utc

    asyncio.run(open_())
    assert (data / "keys" / "tls.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")


def test_a_tls_key_that_is_damaged_does_not_keep_the_others_from_being_sealed(data: Path) -> None:
    (data / "keys" / "tls.key").write_bytes(b"x")
    _protect(data)

    async def open_() -> None:
        async with open_appliance(Config(data=data), _ask):
            pass

    asyncio.run(open_())
    assert (data / "keys" / "tls.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")


def test_nothing_is_opened_or_changed_by_another_passphrase(data: Path) -> None:
    _protect(data)
    before = _plain(data)
    with pytest.raises(PassphraseRequired) as caught, DataDirectory(data).held(lambda: "guess"):
        pass
    assert caught.value.fix
    assert _plain(data) == before


def test_sealed_keys_without_their_master_key_are_refused_with_words(data: Path) -> None:
    _protect(data)
    (data / "keys" / "master.key").unlink()
    directory = DataDirectory(data)
    with directory.held(ask_nobody), pytest.raises(DataDirectoryUnusable) as caught:
        directory.read_keys()
    assert "no master.key" in caught.value.problem
    assert "backup" in caught.value.fix


def test_a_sealed_key_is_bound_to_its_name(data: Path) -> None:
    _protect(data)
    shutil.copy(data / "keys" / "root.key", data / "keys" / "ca.key")
    directory = DataDirectory(data)
    with directory.held(_ask), pytest.raises(DataDirectoryUnusable):
        directory.read_keys()


def test_twice_and_too_short_are_refused(data: Path) -> None:
    files = DataDirectory(data).key_files
    with pytest.raises(InvalidRequest):
        files.protect("eleven char")
    assert not files.is_protected
    with pytest.raises(Conflict):
        files.unprotect()
    files.protect(WORDS)
    with pytest.raises(Conflict):
        files.protect(WORDS)
