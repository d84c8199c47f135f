"""Durability for many responses at once: one append-only file per run, one fsync per batch.

A line holds what is known of a call, what an attempt left behind, or both. Before a call is sent its line says so, and
an answer is written as soon as it is there, so that a killed process forgets neither. A response counts as safe when
its line is on the disk, and only then are its files written, without an fsync each. A journal is removed when
everything it holds has reached files and ledger. What a killed process left is put in place by `recover`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files, owners
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.ledger import CallRow, Ledger
from daydreaming_dagster.store.paths import PARSED, RAW, RAW_METADATA, DataPaths

SEGMENT_BYTES = 64 * 1024 * 1024
_RESERVE_BYTES = 16 * 1024 * 1024
_OPTIONS = orjson.OPT_APPEND_NEWLINE
_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal.

    Attributes:
        call: what is known of a call; a later line of the same call replaces it. None when nobody was called.
        outcome: what an attempt left behind; None when there is nothing to store.
    """

    call: CallRow | None
    outcome: Outcome | None = None


class Journal:
    """One run's journal. One thread writes to it (`note`, `append`), one makes it durable and removes it (all else)."""

    def __init__(self, paths: DataPaths, owner: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = paths.journal
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._segments = 0
        self._path: Path | None = None
        self._handle = -1
        self._bytes = 0
        self._appended = 0
        self._full: list[tuple[Path, int]] = []
        self._open_calls: dict[str, bytes] = {}
        self._writing = threading.Lock()

    def note(self, call: CallRow) -> None:
        """Writes down that a call is about to be sent. It survives the process at once, and the machine soon after.

        Raises:
            StoreError: the disk refused it; the call must not be sent.
        """
        line = orjson.dumps(Entry(call), option=_OPTIONS)
        with self._writing:
            self._write(line)
            self._open_calls[call.call_id] = line

    def append(self, entry: Entry) -> None:
        """Writes down how a call ended or what was made without one. It survives the process at once.

        Raises:
            StoreError: the disk refused it.
        """
        line = orjson.dumps(entry, option=_OPTIONS, default=str)
        with self._writing:
            self._write(line)
            self._appended += 1
            if entry.call is not None:
                self._open_calls.pop(entry.call.call_id, None)

    def sync(self) -> None:
        """Waits until everything written so far is on the disk, so that it survives the machine, too.

        Raises:
            StoreError: the disk refused it.
        """
        with self._writing:
            handle = self._handle
        if handle >= 0:
            with files.explain_os_errors(self._folder):
                os.fdatasync(handle)

    @property
    def is_large(self) -> bool:
        """Whether it is time for `turn_over`."""
        return self._bytes >= self._segment_bytes

    def turn_over(self) -> int:
        """Begins another file when one is needed; calls still under way are carried over.

        Returns:
            How many entries were appended until now: when they are all in files and ledger, `retire` may be called.
        """
        with self._writing:
            if self._path is not None:
                self._full.append((self._path, self._handle))
                self._path, self._handle, self._bytes = None, -1, 0
                if self._open_calls:
                    self._write(b"".join(self._open_calls.values()))
            appended = self._appended
        with files.explain_os_errors(self._folder):
            for _, handle in self._full:
                os.fdatasync(handle)
        return appended

    def retire(self) -> None:
        """Removes the files before the last `turn_over`, when what they led to has reached the disk, too."""
        os.sync()
        for path, handle in self._full:
            path.unlink(missing_ok=True)
            os.close(handle)
        self._full.clear()
        if self._handle < 0:
            self._reserve_path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Lets go of the files but leaves them where they are, for `recover`: not all could be put in place."""
        with self._writing:
            if self._path is not None:
                self._full.append((self._path, self._handle))
            self._path, self._handle, self._bytes = None, -1, 0
        for _, handle in self._full:
            os.close(handle)
        self._full.clear()
        self._reserve_path.unlink(missing_ok=True)

    @property
    def _reserve_path(self) -> Path:
        return self._folder / f"{self._owner}.reserve"

    def _write(self, lines: bytes) -> None:
        """All or nothing: a part of a line would spoil the next one."""
        with files.explain_os_errors(self._folder):
            if self._handle < 0:
                self._open()
            try:
                files.write_all(self._handle, lines)
            except OSError as error:
                os.ftruncate(self._handle, self._bytes)
                if error.errno != errno.ENOSPC or not self._reserve_path.exists():
                    raise
                # The disk is full, but what is under way has been paid for: there is room kept for it.
                self._reserve_path.unlink()
                try:
                    files.write_all(self._handle, lines)
                except OSError:
                    os.ftruncate(self._handle, self._bytes)
                    raise
        self._bytes += len(lines)

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"{self._owner}.{self._segments}{_SUFFIX}"
        self._segments += 1
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._bytes = 0
        with contextlib.suppress(OSError):  # a reserve is good to have, not needed
            reserve = os.open(self._reserve_path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                os.posix_fallocate(reserve, 0, _RESERVE_BYTES)
            finally:
                os.close(reserve)
        files.sync_folder(self._folder)


def recover(store: GenerationStore, ledger: Ledger) -> int:
    """Puts in place what killed processes left: outcomes become files, calls become rows of the ledger.

    A call without an end becomes one whose cost is unknown. Claims and leases of the dead are given up.

    Returns:
        The number of outcomes put in place; 0 when there was nothing to do.
    """
    paths = store.paths
    known = {*owners.iter_owner_ids(paths), *ledger.find_owners(), *(_owner_of(path) for path in _list(paths))}
    dead = owners.find_dead(paths, known)
    count = sum(_replay(path, store, ledger) for path in _list(paths) if _owner_of(path) in dead)
    if dead:
        for stage in Stage:
            files.remove_temporaries(paths.stage(stage))
    for owner in sorted(dead):
        ledger.forget_owner(owner)
        (paths.journal / f"{owner}.reserve").unlink(missing_ok=True)
        owners.forget(paths, owner)
    return count


def has_leftovers(paths: DataPaths) -> bool:
    """Whether there could be anything to recover; costs two directory listings."""
    return any(True for _ in _list(paths)) or bool(owners.iter_owner_ids(paths))


def _list(paths: DataPaths) -> list[Path]:
    """All files, those of one run in the order in which they were written: a later line of a call replaces it."""
    return sorted(paths.journal.glob(f"*{_SUFFIX}"), key=lambda path: (len(path.name), path.name))


def _owner_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _replay(path: Path, store: GenerationStore, ledger: Ledger) -> int:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0  # another process was faster
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # another process is doing it
        if not path.exists():
            return 0
        calls: dict[str, CallRow] = {}
        count = 0
        for entry in _read_entries(path):
            if entry.call is not None:
                calls[entry.call.call_id] = entry.call
            if entry.outcome is not None and not _is_in_place(entry.outcome, store):
                store.write_outcome(entry.outcome)
                count += 1
        ledger.record(list(calls.values()), only_news=True)
        os.sync()
        path.unlink(missing_ok=True)
        return count
    finally:
        os.close(handle)


def _is_in_place(outcome: Outcome, store: GenerationStore) -> bool:
    """Whether the attempt is stored: then whatever others made of it since has to stay, a newer reading above all.

    Its parsed text may be missing because the process was killed before it was written, or because somebody's parser
    refused the response since; the stored metadata tell which. Where they are damaged, the response beside them
    becomes an earlier version.
    """
    if store.is_replaced(outcome):
        return True
    stage, gen_id = outcome.metadata.stage, outcome.metadata.gen_id
    folder = store.folder(stage, gen_id)
    stored = files.find_undamaged_json(folder / RAW_METADATA)
    if outcome.text is None or stored is None or not (folder / RAW).exists():
        return False
    names = ("call_id", "started_at")
    if any(stored.get(name) != outcome.raw_metadata.get(name) for name in names):
        return False
    is_refused_since = stored.get("failure") is not None and outcome.raw_metadata.get("failure") is None
    return is_refused_since or outcome.parsed is None or (folder / PARSED).exists()


def _read_entries(path: Path) -> Iterator[Entry]:
    with files.explain_os_errors(path), path.open("rb") as lines:
        for line in lines:
            try:
                value = orjson.loads(line)
                call, outcome = value["call"], value["outcome"]
                yield Entry(
                    None if call is None else CallRow(**call), None if outcome is None else Outcome.of_json(outcome)
                )
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue  # the line in which the process died: never acknowledged, so nothing was promised
