"""SQLite files: read without a trace; and those that only remember what other files say, where they cannot be kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

_BUSY_TIMEOUT_S = 60.0


def can_write(path: Path) -> bool:
    """Whether a file can be made or changed here: not on a disk mounted read-only, not in a stranger's folder."""
    parents = (parent for parent in path.absolute().parents if os.path.exists(parent))  # noqa: PTH110 - never raises
    return os.access(next(parents), os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))


def open_cache(path: Path, prepare: Callable[[sqlite3.Connection], bool]) -> sqlite3.Connection:
    """A database that can be made anew from other files: a damaged one is, and one that `prepare` turns down.

    Args:
        path: the file; its folder exists.
        prepare: makes the tables of an empty database; False when what is there cannot be used.
    """
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        # Nothing is lost that the other files would not say.
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
        if prepare(database):
            return database
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            database.close()
            raise
    database.close()
    remove_database(path)
    return open_cache(path, prepare)


def remove_database(path: Path) -> None:
    """Removes the file and what SQLite keeps beside it: a log that stayed would be taken for the next one's."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_for_reading(path: Path, *, follow: bool = False) -> sqlite3.Connection:
    """A connection to an existing file that changes nothing and sees all that is stored, its log (WAL) included.

    Without a log it leaves no file of SQLite's beside it. With one SQLite may need files of its own there; where it
    cannot make them, a copy is read.

    Args:
        path: the file.
        follow: also see what others write while the connection is open; not so where SQLite's own files cannot be made.

    Raises:
        sqlite3.Error: it is damaged, or locked for too long.
        OSError: it cannot be copied.
    """
    log = path.with_name(f"{path.name}-wal")
    if follow or log.exists():
        try:
            return _connect(path, "mode=ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise
    # What has no log beside it is whole in itself; opened as unchanging, SQLite makes no files of its own.
    return _open_copy(path, log) if log.exists() else _connect(path, "immutable=1")


def _connect(path: Path, how: str) -> sqlite3.Connection:
    """Asked something at once, because SQLite does not look at a file before that."""
    address = f"{path.absolute().as_uri()}?{how}"
    database = sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _open_copy(path: Path, log: Path) -> sqlite3.Connection:
    with TemporaryDirectory(prefix="daydreaming-") as folder:
        for each in (path, log):
            shutil.copyfile(each, Path(folder) / each.name)
        copy = Path(folder) / path.name
        # The log goes into the copy, which then needs nothing beside it: opened, it is there until it is closed.
        with closing(sqlite3.connect(copy)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
        return _connect(copy, "immutable=1")


def open_copy_in_memory(path: Path) -> sqlite3.Connection:
    """A database in memory with what the file holds; empty when there is no file or it is damaged."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    if not path.exists():
        return copy
    try:
        with closing(open_for_reading(path)) as original:
            original.backup(copy)
    except sqlite3.DatabaseError:
        copy.close()
        return sqlite3.connect(":memory:", check_same_thread=False)
    return copy


def copy_to_folder(path: Path, folder: Path) -> Path:
    """Where a database stands that begins as the file does, or as nothing while somebody is writing to that."""
    copy = folder / path.name
    if path.exists() and not path.with_name(f"{path.name}-wal").exists():
        shutil.copyfile(path, copy)
    return copy
