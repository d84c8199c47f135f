"""Which processes are alive: each run holds a lock on a file of its own, and the kernel lets go of it when it dies.

What a run keeps while it works (its journal, claims and leases) carries its owner id, so that anybody can tell what
belongs to the living and what a killed process left behind.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Collection
from pathlib import Path

from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths

_SUFFIX = ".lock"


class Owner:
    """A run that is alive until `close`, or until its process ends in any way."""

    def __init__(self, paths: DataPaths) -> None:
        self.id = uuid.uuid4().hex[:20]
        self._path = _lock_path(paths, self.id)
        with files.explain_os_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Declares the run dead; nothing of it may be left behind."""
        if self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def is_alive(paths: DataPaths, owner_id: str) -> bool:
    """Whether the owner's process still runs."""
    try:
        handle = os.open(_lock_path(paths, owner_id), os.O_RDONLY)  # of a store that only others can write to, too
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def find_dead(paths: DataPaths, owner_ids: Collection[str]) -> set[str]:
    """Those of the owners whose processes have ended."""
    return {owner_id for owner_id in owner_ids if not is_alive(paths, owner_id)}


def forget(paths: DataPaths, owner_id: str) -> None:
    """Removes the lock file that a dead owner left."""
    _lock_path(paths, owner_id).unlink(missing_ok=True)


def iter_owner_ids(paths: DataPaths) -> list[str]:
    """Everybody who has a lock file, dead or alive."""
    return [path.stem for path in paths.owners.glob(f"*{_SUFFIX}")]


def _lock_path(paths: DataPaths, owner_id: str) -> Path:
    return paths.owners / f"{owner_id}{_SUFFIX}"
