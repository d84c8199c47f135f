"""SQLite files that only remember what other files say, on disks and in folders where they cannot be kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path


def can_write(path: Path) -> bool:
    """Whether a file can be made or changed here: not on a disk mounted read-only, not in a stranger's folder."""
    parents = (parent for parent in path.absolute().parents if os.path.exists(parent))  # noqa: PTH110 - never raises
    return os.access(next(parents), os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))


def open_copy_in_memory(path: Path) -> sqlite3.Connection:
    """A database in memory with what the file holds; empty when there is no file or it is damaged."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    if not path.exists():
        return copy
    # Opened as unchanging, SQLite makes no files of its own beside it.
    original = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
    try:
        original.backup(copy)
    except sqlite3.DatabaseError:
        copy.close()
        return sqlite3.connect(":memory:", check_same_thread=False)
    finally:
        original.close()
    return copy


def copy_to_folder(path: Path, folder: Path) -> Path:
    """Where a database stands that begins as the file does, or as nothing while somebody is writing to that."""
    copy = folder / path.name
    if path.exists() and not path.with_name(f"{path.name}-wal").exists():
        shutil.copyfile(path, copy)
    return copy
