"""The disk beside the event loop: a thread that makes outcomes durable in batches and writes their files.

While one batch waits for the disk the next one gathers, so that a slow disk makes batches larger and not the run
slower. Calls go on meanwhile; only what follows from an answer waits until it is safe. What only later runs need
(ledger, index) is written when there is time, and again from the journal when the process is killed before.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.store.folder_process import FolderProcess
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.index import SETTLED_NS, Index
from daydreaming_dagster.store.journal import Entry, Journal
from daydreaming_dagster.store.ledger import CallRow, Ledger

LEAST_FREE_BYTES = 64 * 1024 * 1024
"""Below this much free space no further call is sent, so that the answers still under way can be stored."""

_GATHERING_S = 0.1
"""How long the first answer of a batch waits for others: waiting for the disk costs as much for one as for many."""
_LONG_RUN = 30
"""Generations after which a process for their folders is worth its start."""
_WORTH_HANDING_OVER = 4
_BOOKING_INTERVAL_S = 0.5
_BOOKING_ROWS = 1000

_Item = tuple[Entry, "asyncio.Future[None] | None"]


class DurableWriter:
    """Stores outcomes from a thread of its own. Use as an async context manager inside the loop that commits.

    Args:
        store: where the files go.
        owner: the run's id.
        on_stored: told of each batch, from the writer's thread, after its files are written.
        read_free_bytes: free space of the store's disk.
    """

    def __init__(
        self,
        store: GenerationStore,
        owner: str,
        on_stored: Callable[[Sequence[Outcome]], None] | None = None,
        read_free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._on_stored = on_stored
        self._read_free_bytes = read_free_bytes or (lambda: shutil.disk_usage(store.paths.root).free)
        self._journal = Journal(store.paths, owner)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread: threading.Thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble: StoreError | None = None
        self._is_all_in_place = True
        self._stored = 0
        self._retires_at: int | None = None
        self._folder_process: FolderProcess | None = None
        self._unbooked_calls: list[CallRow] = []
        self._unbooked_outcomes: list[Outcome] = []

    async def __aenter__(self) -> DurableWriter:
        self._loop = asyncio.get_running_loop()
        self._check_space()
        # Opened here and not in the thread, where nobody would hear that they cannot be.
        books = (Ledger(self._store.paths), Index(self._store))
        self._thread = threading.Thread(target=self._serve, args=books, name="durable-writer", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    @property
    def backlog(self) -> int:
        """Entries that wait for the disk."""
        return self._queue.qsize()

    @property
    def trouble(self) -> StoreError | None:
        """Why no further call should be sent: the disk is nearly full, or refuses something."""
        return self._trouble

    def note(self, call: CallRow) -> None:
        """Writes down that a call is about to be sent; returns when the process may be killed.

        Raises:
            StoreError: the disk refused it.
        """
        self._journal.note(call)

    def record(self, entry: Entry) -> None:
        """Writes down what became of a call, without waiting for the disk."""
        if (refusal := self._append(entry)) is None:
            self._queue.put((entry, None))
        else:
            self._trouble = refusal

    def commit(self, entry: Entry) -> asyncio.Future[None]:
        """Takes an entry, which survives this process from now on.

        Returns:
            A future that is done when the entry has reached the disk and its files can be read; it holds a `StoreError`
            when the disk refused it.
        """
        if self._loop is None:
            raise RuntimeError("the writer is not running")
        future = self._loop.create_future()
        if (refusal := self._append(entry)) is None:
            self._queue.put((entry, future))
        else:
            self._trouble = refusal
            future.set_exception(refusal)
        return future

    def _append(self, entry: Entry) -> StoreError | None:
        try:
            self._journal.append(entry)
        except StoreError as error:
            return error
        return None

    # The thread -----------------------------------------------------------------------------------------------------
    def _serve(self, ledger: Ledger, index: Index) -> None:
        try:
            self._store_until_closed(ledger, index)
            self._book(ledger, index)
            if self._unbooked_outcomes:
                time.sleep(SETTLED_NS / 1e9 * 1.2)  # the last folders' times can be trusted then
                self._book(ledger, index)
            with self._staying_alive():
                if self._is_all_in_place:
                    self._journal.turn_over()
                    self._journal.retire()
                else:
                    self._journal.leave()
        finally:
            if self._folder_process is not None:
                self._folder_process.close()
            ledger.close()
            index.close()

    def _store_until_closed(self, ledger: Ledger, index: Index) -> None:
        booked_at = time.monotonic()
        running = True
        while running:
            batch = self._gather()
            running = None not in batch
            with self._staying_alive():
                if items := [item for item in batch if item is not None]:
                    self._store_batch(items)
                if time.monotonic() - booked_at > _BOOKING_INTERVAL_S or len(self._unbooked_calls) > _BOOKING_ROWS:
                    booked_at = time.monotonic()
                    self._check_space()
                    self._book(ledger, index)
                self._turn_journal_over(ledger, index)

    def _turn_journal_over(self, ledger: Ledger, index: Index) -> None:
        """Begins a new file of the journal when this one is large, and removes it when all of it is in place."""
        if self._journal.is_large and self._retires_at is None:
            self._retires_at = self._journal.turn_over()
        if self._retires_at is not None and self._stored >= self._retires_at and self._is_all_in_place:
            self._book(ledger, index)
            if self._is_all_in_place:
                self._journal.retire()
                self._retires_at = None

    @contextmanager
    def _staying_alive(self) -> Iterator[None]:
        """An error ends the run and not this thread: others wait for it to store their own outcomes."""
        try:
            yield
        except Exception as caught:  # noqa: BLE001 - the run is told
            self._is_all_in_place = False
            self._trouble = _as_store_error(caught)

    def _gather(self) -> list[_Item | None]:
        """All that waits; nothing when nothing comes for a while."""
        try:
            batch = [self._queue.get(timeout=_BOOKING_INTERVAL_S)]
        except queue.Empty:
            return []
        if batch != [None]:
            time.sleep(_GATHERING_S)
        while not self._queue.empty():
            batch.append(self._queue.get())
        return batch

    def _store_batch(self, items: list[_Item]) -> None:
        error: DayDreamingError | None = None
        entries = [entry for entry, _ in items]
        outcomes = [entry.outcome for entry in entries if entry.outcome is not None]
        try:
            self._journal.sync()
            self._unbooked_calls.extend(entry.call for entry in entries if entry.call is not None)
            self._is_all_in_place, was_all_in_place = False, self._is_all_in_place
            self._write_files(outcomes)
            self._is_all_in_place = was_all_in_place
            self._unbooked_outcomes.extend(outcomes)
            self._stored += len(entries)
        except Exception as caught:  # noqa: BLE001 - the thread must live on: others wait for their own outcomes
            error = self._trouble = _as_store_error(caught)
        if self._loop is not None:
            futures = [future for _, future in items if future is not None]
            self._loop.call_soon_threadsafe(_resolve, futures, error)
        if error is None and outcomes and self._on_stored is not None:
            self._on_stored(outcomes)

    def _write_files(self, outcomes: Sequence[Outcome]) -> None:
        """Large batches of a long run are written by another process, which does not have to share its interpreter."""
        if len(outcomes) < _WORTH_HANDING_OVER or self._stored < _LONG_RUN:
            for outcome in outcomes:
                self._store.write_outcome(outcome)
            return
        if self._folder_process is None:
            self._folder_process = FolderProcess()
        self._store.write_outcomes(outcomes, self._folder_process.write)

    def _book(self, ledger: Ledger, index: Index) -> None:
        """Brings ledger and index up to date; what cannot be booked stays in the journal."""
        with self._staying_alive():
            ledger.record(self._unbooked_calls)
            self._unbooked_calls = []
            self._unbooked_outcomes = index.add(self._unbooked_outcomes)

    def _check_space(self) -> None:
        free = self._read_free_bytes()
        if free < LEAST_FREE_BYTES and self._trouble is None:
            self._trouble = StoreError(
                f"Only {free // 2**20} MiB are free on the disk of {self._store.paths.root}; no further call is made.",
                fix="Free some disk space (df -h), then run the command again; everything answered so far is stored.",
                reason="disk_full",
            )


def _as_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    return StoreError(
        f"Responses could not be stored: {type(error).__name__}: {error}.",
        fix="Look at the disk with `daydreaming doctor`, then run the command again.",
    )


def _resolve(futures: Sequence[asyncio.Future[None]], error: DayDreamingError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
