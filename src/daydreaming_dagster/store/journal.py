"""Durability for many responses at once: one append-only file per process, one fsync per batch.

A response counts as safe when its journal line is on the disk; only then are its files written, without an fsync each.
A journal is removed when everything it holds has reached the disk as files. What a killed process left behind is
replayed by the next one, which can tell that its owner is gone because the lock on the file is free.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import orjson

from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.paths import DataPaths

_SEGMENT_BYTES = 64 * 1024 * 1024


class Journal:
    """One process's journal. Not thread-safe: one thread appends."""

    def __init__(self, paths: DataPaths) -> None:
        self._folder = paths.journal
        self._gens = paths.gens
        self._path: Path | None = None
        self._handle = -1
        self._bytes = 0

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Makes the outcomes durable.

        Raises:
            StoreError: the disk refused them.
        """
        lines = b"".join(
            orjson.dumps(outcome.to_json(), option=orjson.OPT_APPEND_NEWLINE, default=str) for outcome in outcomes
        )
        with files.explain_os_errors(self._folder):
            if self._handle < 0:
                self._open()
            files.write_all(self._handle, lines)
            os.fdatasync(self._handle)
        self._bytes += len(lines)

    def retire_if_large(self) -> None:
        """Starts a new file when this one has grown; call it when all appended outcomes are written as files."""
        if self._bytes >= _SEGMENT_BYTES:
            self.close()

    def close(self) -> None:
        """Waits until the files have reached the disk, then removes the journal."""
        if self._handle < 0 or self._path is None:
            return
        os.sync()
        self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle, self._path, self._bytes = -1, None, 0

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"{uuid.uuid4().hex}.jsonl"
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        files.sync_folder(self._folder)


def replay_journals(store: GenerationStore) -> int:
    """Writes the files of all outcomes that a killed process left in its journal.

    Returns:
        The number of outcomes replayed; 0 when there was nothing to do.
    """
    count = 0
    for path in sorted(store.paths.journal.glob("*.jsonl")):
        handle = os.open(path, os.O_RDWR)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process is alive and will see to it itself
            for line in path.read_bytes().splitlines():
                try:
                    outcome = Outcome.of_json(orjson.loads(line))
                except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                    continue  # the line in which the process died: never acknowledged, so nothing was promised
                store.write_outcome(outcome)
                count += 1
            os.sync()
            path.unlink(missing_ok=True)
        finally:
            os.close(handle)
    return count
