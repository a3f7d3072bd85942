"""Connections, transactions, migrations: the only file that knows how SQLite is driven."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from appliance import logs
from appliance.errors import Busy
from appliance.store.damage import find_damage, refuse_damaged, unusable
from appliance.store.migrating import migrate
from appliance.store.write_ahead_log import BUSY_SECONDS, KEPT_BYTES, WriteAheadLog

logger = logging.getLogger(__name__)

T = TypeVar("T")
Connection = sqlite3.Connection
Outcome = tuple[Any, BaseException | None]

_READERS = 2
_LARGEST_BATCH = 256
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# After a failed write or sync the kernel may drop the pages: a later commit could lie.
_FATAL = (sqlite3.SQLITE_IOERR, *_DAMAGE)


def from_ms(milliseconds: int | None) -> datetime | None:
    """Turn a stored time into a datetime in UTC; NULL stays None."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(slots=True)
class _Waiting:
    unit: Callable[[Connection], Any]
    future: asyncio.Future[Any]


class Database:
    """One writer with group commit, and readers with connections of their own.

    All units of work that wait are put into one transaction and are woken after its commit,
    which is on the disk (`synchronous=FULL`) by then. A unit may be run twice, so it changes
    nothing but the database. What is in `after_commit` is called after each commit, before the
    next begins, and returns at once: it is for whoever tells what is new. `failure` is set when the
    disk or the file fails: nothing is written any more, and the process should end. `trouble` says
    why nothing can be written at the moment, or what is wrong with the file; "" when all is well.
    """

    def __init__(
        self,
        path: Path,
        log: WriteAheadLog,
        writer: aiosqlite.Connection,
        readers: list[aiosqlite.Connection],
    ) -> None:
        self._path = path
        self._log = log
        self._writer = writer
        self._readers = readers
        self._reading = [asyncio.Lock() for _ in readers]
        self._next_reader = 0
        self._snapshots = 0  # under way
        self._waiting: list[_Waiting] = []
        self._pump_task: asyncio.Task[None] | None = None
        self.after_commit: list[Callable[[], None]] = []
        self.failure = asyncio.Event()
        self._damage = ""  # stays until the next start
        self._obstacle = ""  # to writing; goes with the next commit

    @property
    def trouble(self) -> str:
        """What a person has to see to; "" for nothing."""
        return self._damage or self._obstacle

    @property
    def is_damaged(self) -> bool:
        """Whether the file holds what it should not."""
        return bool(self._damage)

    @property
    def is_blocked(self) -> bool:
        """Whether the last commit failed."""
        return bool(self._obstacle)

    @classmethod
    async def open(cls, path: Path, *, backups: Path | None = None) -> Database:
        """Open or create the database at `path` and bring its schema up to date.

        Before a migration of existing data a snapshot is written to `backups`.

        Raises:
            DataDirectoryUnusable: the file is of a newer release, foreign, damaged, or cannot be
                read or written.
        """
        writer, log = await _connect(path, readonly=False), WriteAheadLog(path)
        try:
            await _run(writer, refuse_damaged)
            await _run(writer, partial(migrate, backups=backups))
            await _run(writer, log.take_over)
            readers = [await _connect(path, readonly=True) for _ in range(_READERS)]
        except BaseException as error:
            await writer.close()
            if isinstance(error, sqlite3.Error):
                raise unusable(path, error) from error
            raise
        return cls(path, log, writer, readers)

    async def close(self) -> None:
        """Finish what waits, checkpoint, and end the threads."""
        if self._pump_task is not None:
            await asyncio.wait({self._pump_task}, timeout=BUSY_SECONDS)
        for reader in self._readers:
            await reader.close()
        try:
            await _run(self._writer, self._log.empty)
        except sqlite3.Error:
            logger.warning("the last checkpoint failed; the next start does it")
        await self._writer.close()

    async def read(self, unit: Callable[[Connection], T]) -> T:
        """Run `unit` on a reader's connection, inside one snapshot."""
        index = self._next_reader = (self._next_reader + 1) % len(self._readers)
        async with self._reading[index]:
            work = asyncio.ensure_future(_run(self._readers[index], partial(_snapshot, unit)))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:  # the lock says that no transaction is open
                await asyncio.wait({work})
                raise
            except sqlite3.Error as error:
                if _code(error) in _DAMAGE:
                    self._damage = self._noted(f"the database is damaged: {error}")
                raise Busy(f"the store cannot be read now: {error}") from error

    def write(self, unit: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `unit` in the next group commit; the result arrives when it is on the disk.

        Raises, when awaited:
            Busy: the transaction could not be committed; nothing of it is stored.
            whatever `unit` raises: only its own changes are undone.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.failure.is_set():
            future.set_exception(Busy("the store has failed; the server is stopping"))
            return future
        self._waiting.append(_Waiting(unit, future))
        if self._pump_task is None or self._pump_task.done():
            self._pump_task = asyncio.get_running_loop().create_task(self._pump())
        return future

    def size_bytes(self) -> int:
        """Return the size of the database file."""
        return self._path.stat().st_size

    async def snapshot(self, target: Path) -> None:
        """Write a consistent, compact copy of the database to `target`, which must not exist.

        It has a connection of its own: writers and readers go on meanwhile, only the log is not
        checkpointed and grows by what is written. Cancelled, it stops and leaves no file.
        """
        async with self._reading[0]:  # no checkpoint is running now, and none begins
            self._snapshots += 1
        try:
            source = await _connect(self._path, readonly=True)
            try:
                await _interruptible(source, partial(_vacuum_into, target=target))
            finally:
                await source.close()
        finally:
            self._snapshots -= 1

    async def find_damage(self, *, seconds: float) -> str:
        """Look through the file for at most `seconds`; what is wrong is `trouble` from now on.

        As with a snapshot, writers and readers go on meanwhile. Returns "" if nothing is wrong.
        """
        async with self._reading[0]:  # no checkpoint is running now, and none begins
            self._snapshots += 1
        try:
            source = await _connect(self._path, readonly=True)
            try:
                found = await _interruptible(source, partial(find_damage, seconds=seconds))
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGE:
                    raise
                found = str(error)
            finally:
                await source.close()
        finally:
            self._snapshots -= 1
        if found:
            self._damage = self._noted(f"the database is damaged: {found}")
        return found

    async def _pump(self) -> None:
        while self._waiting:
            batch, self._waiting = (
                self._waiting[:_LARGEST_BATCH],
                self._waiting[_LARGEST_BATCH:],
            )
            try:
                outcomes = await _run(self._writer, partial(_commit_batch, batch))
            except Exception as error:  # nothing was committed: every waiter must know
                for waiting in (*batch, *self._failed(error)):
                    _resolve(waiting.future, error=_busy(error))
                continue
            self._works()
            for waiting, (result, problem) in zip(batch, outcomes, strict=True):
                _resolve(waiting.future, result, error=problem)
            for tell in self.after_commit:
                tell()
            await self._checkpoint_when_due()

    def _failed(self, error: Exception) -> list[_Waiting]:
        """Take note, and return those who wait and need not be tried."""
        code = _code(error)
        if code in _FATAL:
            logger.critical(
                "the store failed: nothing is written any more, the server ends",
                extra={logs.REASON: str(error)},
            )
            self.failure.set()
        else:
            self._obstacle = self._noted(f"the store cannot write: {error}")
        if code not in _FATAL and code != sqlite3.SQLITE_BUSY:
            return []
        # Whoever came meanwhile has waited nearly as long, or would be told more than is true.
        waiting, self._waiting = self._waiting, []
        return waiting

    def _noted(self, trouble: str) -> str:
        if not self.trouble:  # once: a full disk must not be filled by the log
            logger.error("the store is in trouble", extra={logs.REASON: trouble})
        return trouble

    def _works(self) -> None:
        if self._obstacle and not self._damage:
            logger.info("the store can write again")
        self._obstacle = ""

    async def _checkpoint_when_due(self) -> None:
        """Checkpoint only here, with no reader inside a transaction.

        SQLite before 3.51.3 can lose commits when a checkpoint races a second connection
        ("WAL-reset bug", sqlite.org/wal.html); no other connection ever checkpoints.
        """
        if self._snapshots or not self._log.is_due:
            return
        async with AsyncExitStack() as stack:
            for lock in self._reading:
                await stack.enter_async_context(lock)
            if self._snapshots:  # begun while we waited
                return
            try:
                await _run(self._writer, self._log.checkpoint)
            except sqlite3.Error as error:
                logger.warning("checkpoint failed", extra={logs.REASON: str(error)})


async def _connect(path: Path, *, readonly: bool) -> aiosqlite.Connection:
    target = f"{path.as_uri()}?mode={'ro' if readonly else 'rwc'}"
    connection = await aiosqlite.connect(
        target, uri=True, isolation_level=None, cached_statements=512, timeout=BUSY_SECONDS
    )
    try:
        await _run(connection, partial(_prepare, readonly=readonly))
    except BaseException as error:  # its thread would keep the process alive
        await connection.close()
        if isinstance(error, sqlite3.Error):
            raise unusable(path, error) from error
        raise
    return connection


def _prepare(db: Connection, *, readonly: bool) -> None:
    if not readonly:
        db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # a secret that was deleted stays in no free page
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {KEPT_BYTES}")
    db.execute("PRAGMA cache_size = -16384")
    if sys.platform == "darwin":  # fsync alone leaves the data in the drive's cache there
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA checkpoint_fullfsync = ON")


async def _run(connection: aiosqlite.Connection, function: Callable[[Connection], T]) -> T:
    """Run `function` in the connection's own thread.

    aiosqlite has no public call for this; here is the only place that knows the private one.
    """
    execute: Any = connection._execute
    result: T = await execute(function, connection._conn)
    return result


async def _interruptible(
    connection: aiosqlite.Connection, function: Callable[[Connection], T]
) -> T:
    """Run `function` in the connection's thread; if we are cancelled, stop it first."""
    work = asyncio.ensure_future(_run(connection, function))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await connection.interrupt()
        await asyncio.wait({work})
        raise


def _vacuum_into(db: Connection, *, target: Path) -> None:
    target.touch(mode=0o600, exist_ok=False)
    try:
        db.execute("VACUUM INTO ?", (str(target),))
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _commit_batch(batch: list[_Waiting], db: Connection) -> list[Outcome]:
    """Run the units in one transaction and commit it.

    A savepoint for each unit would double the statements of a short one, so the first attempt
    has none; only when a unit fails is the batch undone and run again with them.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        try:
            outcomes: list[Outcome] = [(waiting.unit(db), None) for waiting in batch]
        except Exception as error:
            if _is_the_stores(error):
                raise
            db.execute("ROLLBACK")
            db.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt(waiting.unit, db) for waiting in batch]
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return outcomes


def _attempt(unit: Callable[[Connection], Any], db: Connection) -> Outcome:
    db.execute("SAVEPOINT unit")
    try:
        outcome: Outcome = (unit(db), None)
    except Exception as error:
        if _is_the_stores(error):  # nothing of this batch may pass
            raise
        db.execute("ROLLBACK TO unit")
        outcome = (None, error)
    db.execute("RELEASE unit")
    return outcome


def _snapshot(unit: Callable[[Connection], T], db: Connection) -> T:
    db.execute("BEGIN")
    try:
        return unit(db)
    finally:
        db.execute("ROLLBACK")


def _resolve(
    future: asyncio.Future[Any], result: Any = None, *, error: BaseException | None = None
) -> None:
    if future.done():  # the caller has gone; what was committed stays
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _is_the_stores(error: Exception) -> bool:
    """Tell whether the disk or the file failed, rather than the unit."""
    return isinstance(error, sqlite3.OperationalError) or _code(error) in _FATAL


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _busy(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        return Busy(f"the store cannot write now: {error}", fix="try again in a few seconds")
    return error
